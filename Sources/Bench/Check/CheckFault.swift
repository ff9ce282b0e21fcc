/// The reason why a check of a client failed.
public struct CheckFault: Error, Equatable, Sendable {
    /// The kind of failure.
    public enum Kind: Sendable {
        /// The address cannot be checked.
        case usage
        /// The proxy, the network or the server refused, failed or did not answer.
        case unavailable
        /// The system refused the connection to the proxy with this error number.
        case system(Int32)
        /// The client has closed the connection.
        case closed
    }

    /// The kind of failure.
    public let kind: Kind
    /// The failure and its place, without a full stop.
    ///
    /// Never contains a password.
    public let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }
}

extension CheckFault.Kind: Equatable {}
