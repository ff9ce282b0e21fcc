import CLibUV
import CShims
import Glibc

extension SocketAddress {
    /// An IPv4 address on the Internet, to find a route to it: a root name server.
    public static let globalIPv4 = SocketAddress(ipv4: 0xc629_0004, port: 53)
    /// An IPv6 address on the Internet, to find a route to it: the same server.
    public static let globalIPv6 = SocketAddress(high: 0x2001_0503_ba3e_0000, low: 0x2_0030, port: 53)

    /// Whether this machine has a route to the address now, by the kernel's tables; no packet is sent.
    ///
    /// Also false if the kernel lacks the address family. Costs three system calls.
    public var hasRoute: Bool {
        let descriptor = shim_socket(family, Int32(SOCK_DGRAM.rawValue))
        guard descriptor >= 0 else { return false }
        defer { Glibc.close(descriptor) }
        return unsafe withSockaddr { unsafe connect(descriptor, $0, socklen_t($1)) == 0 }
    }
}
