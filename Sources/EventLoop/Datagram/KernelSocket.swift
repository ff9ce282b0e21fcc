import CShims
import Glibc

/// A UDP socket that is bound, and that no loop polls yet; its owner closes it.
struct KernelSocket {
    let descriptor: Int32
    /// The address that it is bound to, with the port that the kernel chose.
    let address: SocketAddress
    /// Whether the kernel coalesces received packets (UDP_GRO).
    let isCoalescing: Bool

    /// Opens a socket and binds it; `sharesPort` lets it join others that share theirs.
    init(
        bindTo address: SocketAddress, _ configuration: DatagramSocket.Configuration, sharesPort: Bool = false
    ) throws(UVError) {
        descriptor = try UVError.check(shim_socket(address.family, Int32(SOCK_DGRAM.rawValue)), "socket")
        do throws(UVError) {
            isCoalescing = try Self.configure(descriptor, address, configuration)
            if sharesPort { try Self.sharePort(descriptor) }
            self.address = try Self.bind(descriptor, to: address)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    func close() { Glibc.close(descriptor) }

    /// Lets sockets that are bound later share the port.
    func sharePort() throws(UVError) { try Self.sharePort(descriptor) }

    private static func sharePort(_ descriptor: Int32) throws(UVError) {
        try UVError.check(shim_set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1), "setsockopt(SO_REUSEPORT)")
    }

    /// Binds the socket and returns its address, with the port that the kernel chose.
    private static func bind(_ descriptor: Int32, to address: SocketAddress) throws(UVError) -> SocketAddress {
        let bound = unsafe address.withSockaddr { unsafe Glibc.bind(descriptor, $0, socklen_t($1)) == 0 ? 0 : -errno }
        try UVError.check(bound, "bind")
        let local = unsafe SocketAddress.filled { name, length in
            unsafe length.withMemoryRebound(to: socklen_t.self, capacity: 1) {
                unsafe getsockname(descriptor, name, $0)
            }
        }
        guard let local else { throw UVError(code: -EINVAL, call: "getsockname") }
        return local
    }

    /// Sets the socket's options; returns whether the kernel coalesces.
    private static func configure(
        _ descriptor: Int32, _ address: SocketAddress, _ configuration: DatagramSocket.Configuration
    ) throws(UVError) -> Bool {
        let size = Int32(clamping: configuration.kernelBufferSize)
        setReceiveBuffer(descriptor, size)
        // The FORCE variants need CAP_NET_ADMIN, and ignore the system's maximum.
        if shim_set_option(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, size) < 0 {
            shim_set_option(descriptor, SOL_SOCKET, SO_SNDBUF, size)
        }
        if address.isIPv4 {
            // Routers fragment packets that are too large; ICMP messages about the MTU, which can be forged, have no
            // effect.
            let discovery = Int32(configuration.fragments ? SHIM_PMTUDISC_OMIT : SHIM_PMTUDISC_PROBE)
            try UVError.check(
                shim_set_option(descriptor, Int32(IPPROTO_IP), Int32(SHIM_IP_MTU_DISCOVER), discovery),
                "setsockopt(IP_MTU_DISCOVER)")
        } else {
            let discovery = Int32(configuration.fragments ? SHIM_PMTUDISC_DONT : SHIM_PMTUDISC_PROBE)
            try UVError.check(
                shim_set_option(descriptor, Int32(IPPROTO_IPV6), Int32(SHIM_IPV6_V6ONLY), 1),
                "setsockopt(IPV6_V6ONLY)")
            try UVError.check(
                shim_set_option(descriptor, Int32(IPPROTO_IPV6), Int32(SHIM_IPV6_MTU_DISCOVER), discovery),
                "setsockopt(IPV6_MTU_DISCOVER)")
        }
        if configuration.answersWhereAsked, address.isAny {
            let (level, option) =
                address.isIPv4
                ? (Int32(IPPROTO_IP), SHIM_IP_PKTINFO) : (Int32(IPPROTO_IPV6), SHIM_IPV6_RECVPKTINFO)
            try UVError.check(shim_set_option(descriptor, level, Int32(option), 1), "setsockopt(PKTINFO)")
        }
        guard configuration.usesOffload else { return false }
        return shim_set_option(descriptor, Int32(SHIM_SOL_UDP), Int32(SHIM_UDP_GRO), 1) == 0
    }

    /// Sets the kernel's buffer of received packets to `size` bytes, or to the most that it grants.
    static func setReceiveBuffer(_ descriptor: Int32, _ size: Int32) {
        if shim_set_option(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, size) < 0 {
            shim_set_option(descriptor, SOL_SOCKET, SO_RCVBUF, size)
        }
    }
}
