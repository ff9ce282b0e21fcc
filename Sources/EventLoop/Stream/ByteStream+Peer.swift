import CLibUV
import CShims
import Glibc

/// The two ends of a connection: their addresses, the peer's user, and whether the peer is still there.
extension ByteStream {
    /// Our end of a TCP connection.
    public var localAddress: SocketAddress? {
        guard kind == .tcp, state != .closed else { return nil }
        if let end { return end.local }
        if let known = addresses.local { return known }
        let asked = unsafe SocketAddress.filled { name, length in unsafe uv_tcp_getsockname(tcp, name, length) }
        if state == .open { addresses.local = asked }
        return asked
    }

    /// The peer's end of a TCP connection.
    public var remoteAddress: SocketAddress? {
        guard kind == .tcp, state != .closed else { return nil }
        if let end { return end.remote }
        if let known = addresses.remote { return known }
        let asked = unsafe SocketAddress.filled { name, length in unsafe uv_tcp_getpeername(tcp, name, length) }
        if state == .open { addresses.remote = asked }
        return asked
    }

    /// Whether bytes wait to be read; the end of the peer's direction does not count.
    public var hasBytesToRead: Bool {
        if let end { return end.arrivedBytes > 0 }
        guard let descriptor else { return false }
        var byte: UInt8 = 0
        return unsafe recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) > 0
    }

    /// Whether the connection has ended both ways: the peer has reset it, or is gone.
    ///
    /// After ``shutdown()`` the peer's ordinary end counts too. While nothing is read or written, the loop reports none
    /// of this.
    public var isGone: Bool {
        if let end { return end.isGone }
        guard let descriptor else { return false }
        var question = pollfd(fd: descriptor, events: 0, revents: 0)
        return unsafe poll(&question, 1, 0) > 0 && question.revents & Int16(POLLERR | POLLHUP) != 0
    }

    /// The user who connected a unix socket on which this process listens; nil if the system does not tell.
    public var peerUser: UInt32? {
        guard kind == .unix, let descriptor else { return nil }
        var user: UInt32 = 0
        return unsafe shim_peer_user(descriptor, &user) == 0 ? user : nil
    }

    /// The user of the process at the other end, if that is on this machine and the kernel tells; nil on simulated time.
    ///
    /// A process that has closed its end already is not told of.
    public var localUser: UInt32? {
        guard end == nil, kind == .tcp else { return peerUser.flatMap(SocketUsers.ofThisProcess.user) }
        guard let localAddress, let remoteAddress else { return nil }
        return remoteAddress.user(of: .tcp, to: localAddress)
    }

    /// The user as whom this process acts on files and sockets, to compare with ``peerUser``.
    public static var ownUser: UInt32 { geteuid() }

    /// Whether the process that connected a unix socket on which this process listens was in `group` at that time.
    public func isPeer(inGroup group: UInt32) -> Bool {
        guard kind == .unix, let descriptor else { return false }
        return shim_peer_is_member(descriptor, group) == 1
    }

    /// The descriptor of an open stream.
    var descriptor: Int32? {
        var found: uv_os_fd_t = -1
        guard end == nil, state == .open,
            unsafe uv_fileno(memory.assumingMemoryBound(to: uv_handle_t.self), &found) == 0
        else {
            return nil
        }
        return found
    }
}
