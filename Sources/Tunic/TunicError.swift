internal import Client
internal import Wire

/// A failure of a call to Tunic; none of them ends the program.
public enum TunicError: Error, Hashable, Sendable {
    /// The network file cannot be read, or is not a network file; the text names the place.
    case networkFile(String)
    /// The data folder cannot be used; the text names it and the remedy.
    case dataFolder(String)
    /// Another client, in this process or another one, uses the data folder.
    case inUse(String)
    /// The operating system refused a resource that a client needs; the text names the call.
    case system(String)
    /// The client was shut down, or the stream closed.
    case closed
    /// The host is neither a name nor an address, or the port is 0.
    case badDestination
    /// Another operation of the same kind is under way on the stream.
    case busy
    /// The waiting task was cancelled.
    case cancelled
    /// The client has reached its limit of streams.
    case tooManyStreams
    /// The datagram is too long, or there is no room for it now.
    case notSent
    /// There is no path to an exit.
    case noPath
    /// Too many values of `isolation` are in use.
    case tooManyIdentities
    /// No exit has answered in time.
    case timedOut
    /// The exit made no connection, or no exit is asked for the host.
    case refused(Refusal)
    /// The stream broke, or its session ended.
    case broken

    /// Why an exit makes no connection.
    public enum Refusal: String, Hashable, Sendable {
        /// The exit gives no reason.
        case generalFailure
        /// Its policy forbids the destination.
        case notAllowed
        /// The name does not exist, or has no address.
        case hostNotFound
        /// It has no route to the network of the destination.
        case networkUnreachable
        /// It has no route to the destination.
        case hostUnreachable
        /// The destination refused the connection.
        case connectionRefused
        /// The destination did not answer in time.
        case noAnswer
    }

    init(_ failure: AppStream.Failure) {
        self =
            switch failure {
            case .noPath: .noPath
            case .tooManyIdentities: .tooManyIdentities
            case .tooManyAssociations: .tooManyStreams
            case .timedOut: .timedOut
            case .broken: .broken
            case .refused(.notAllowed): .refused(.notAllowed)
            case .refused(.hostNotFound): .refused(.hostNotFound)
            case .refused(.networkUnreachable): .refused(.networkUnreachable)
            case .refused(.hostUnreachable): .refused(.hostUnreachable)
            case .refused(.refused): .refused(.connectionRefused)
            case .refused(.timeout): .refused(.noAnswer)
            case .refused(.ok), .refused(.generalFailure), .refused(.tooManyStreams): .refused(.generalFailure)
            }
    }
}
