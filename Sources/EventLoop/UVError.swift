import CLibUV

/// A failure of libuv, or of the system call below it.
public struct UVError: Error, Hashable, Sendable, CustomStringConvertible {
    /// libuv's code, a negative number.
    public let code: Int32
    /// The call that failed, such as `bind`.
    public let call: String
    /// The address that the call concerned, if it was added.
    public private(set) var address: String?

    /// The failure `code` of `call`; a positive `errno` is taken as its libuv code.
    public init(code: Int32, call: String) {
        self.code = code > 0 ? -code : code
        self.call = call
    }

    /// The same failure, about `address`.
    public func at(_ address: String) -> UVError {
        var error = self
        error.address = address
        return error
    }

    /// The kinds of failures that callers distinguish.
    public enum Kind: Sendable {
        /// No process listens there (`ECONNREFUSED`).
        case connectionRefused
        /// The peer ended the connection (`ECONNRESET`, `EPIPE`, `ECONNABORTED`).
        case connectionReset
        /// No answer came in time (`ETIMEDOUT`).
        case timedOut
        /// No route to the network (`ENETUNREACH`, `ENETDOWN`, `EAFNOSUPPORT`).
        case networkUnreachable
        /// No route to the host (`EHOSTUNREACH`).
        case hostUnreachable
        /// The address is in use (`EADDRINUSE`).
        case addressInUse
        /// Not allowed (`EACCES`, `EPERM`).
        case notPermitted
        /// No descriptors or buffers are left (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`).
        case noResources
        /// This process closed it (`ECANCELED`).
        case cancelled
        /// Anything else.
        case other
    }

    /// The kind of the failure.
    public var kind: Kind {
        switch code {
        case UV_ECONNREFUSED.rawValue: .connectionRefused
        case UV_ECONNRESET.rawValue, UV_EPIPE.rawValue, UV_ECONNABORTED.rawValue: .connectionReset
        case UV_ETIMEDOUT.rawValue: .timedOut
        case UV_ENETUNREACH.rawValue, UV_ENETDOWN.rawValue, UV_EAFNOSUPPORT.rawValue: .networkUnreachable
        case UV_EHOSTUNREACH.rawValue: .hostUnreachable
        case UV_EADDRINUSE.rawValue: .addressInUse
        case UV_EACCES.rawValue, UV_EPERM.rawValue: .notPermitted
        case UV_EMFILE.rawValue, UV_ENFILE.rawValue, UV_ENOBUFS.rawValue, UV_ENOMEM.rawValue: .noResources
        case UV_ECANCELED.rawValue: .cancelled
        default: .other
        }
    }

    /// libuv's name for the code, such as `EADDRINUSE`.
    public var name: String { unsafe String(cString: uv_err_name(code)) }

    /// The call and the name of its failure.
    public var description: String { "\(call): \(name)" }

    /// Throws when `result` is a libuv failure; returns it otherwise.
    @discardableResult
    static func check(_ result: Int32, _ call: String) throws(UVError) -> Int32 {
        guard result >= 0 else { throw UVError(code: result, call: call) }
        return result
    }
}
