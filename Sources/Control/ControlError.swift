public import EventLoop

/// Why a control socket could not be opened or asked.
public enum ControlError: Error, Equatable {
    /// The path has this many bytes, more than ``ControlSocket/longestPath``.
    case pathTooLong(Int)
    /// Another process listens there, or something other than a socket stands at the path.
    case inUse
    /// No socket at the path, or nobody listens on it, or it may not be used.
    case unreachable(UVError)
    /// The socket could not be opened.
    case system(UVError)
    /// No answer came in time.
    case timedOut
    /// The other side closed the connection before it answered.
    case closed
    /// The answer was no line of JSON of the expected kind.
    case malformedReply
    /// The other side refused, in its own words.
    case refused(String)
    /// The other side refused because of who asks, in its own words.
    case denied(String)
}

/// The limits of control sockets.
public enum ControlSocket {
    /// The longest path of a unix socket in bytes (`sockaddr_un`, without its final zero).
    public static let longestPath = 107
    /// The longest request line in bytes.
    static let longestRequest = 4096
    /// The longest reply line in bytes.
    static let longestReply = 1 << 20
    /// How many connections a server has at once; further ones are closed at once.
    static let connectionLimit = 16
    /// How long a server waits for a whole request, or for its reply to be read, in nanoseconds.
    static let idleLimit: UInt64 = 10_000_000_000
}
