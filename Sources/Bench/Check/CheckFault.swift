/// Why a check of a client did not get an answer.
public struct CheckFault: Error, Equatable, Sendable {
    /// What went wrong.
    public enum Kind: Sendable {
        /// The address is none that can be checked.
        case usage
        /// The proxy, the network or the server does not do it.
        case unavailable
        /// The system refused the connection to the proxy, with this number of an error.
        case system(Int32)
        /// The client has closed the connection.
        case closed
    }

    /// What went wrong.
    public let kind: Kind
    /// What is wrong and where, without a full stop; never a password.
    public let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }
}

extension CheckFault.Kind: Equatable {}
