import CShims
import Glibc

extension SocketAddress {
    /// The transport protocol of a socket.
    public enum Transport: Sendable {
        /// A connection.
        case tcp
        /// Datagrams.
        case udp

        /// The protocol's number.
        var number: Int32 { Int32(self == .tcp ? IPPROTO_TCP : IPPROTO_UDP) }
    }

    /// The user who made this machine's socket at the address that exchanges packets with `peer`; nil if there is none,
    /// or the kernel does not tell (``SocketUsers``).
    ///
    /// A UDP socket may be bound to all addresses, so the answer says nothing about an address of another machine.
    /// Costs two system calls.
    public func user(of transport: Transport, to peer: SocketAddress) -> UInt32? {
        var (own, other) = ((high.bigEndian, low.bigEndian), (peer.high.bigEndian, peer.low.bigEndian))
        var user: UInt32 = 0
        return SocketUsers.ofThisProcess.user(transport) {
            unsafe shim_socket_user(transport.number, &own, port, &other, peer.port, &user) == 0 ? user : nil
        }
    }
}
