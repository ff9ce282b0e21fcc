internal import Client
internal import Wire

/// What can go wrong for a program that uses Tunic; nothing of it ends the program.
public enum TunicError: Error, Hashable, Sendable {
    /// The network file cannot be read, or is not a network file; the text names the place.
    case networkFile(String)
    /// The data folder cannot be used; the text names it and the remedy.
    case dataFolder(String)
    /// Another client, of this process or another one, works with the data folder.
    case inUse(String)
    /// The operating system refused something that a client needs.
    case system(String)
    /// The client was shut down, or the stream closed.
    case closed
    /// The host is neither a name nor an address, or the port is 0.
    case badDestination
    /// The stream has a read under way already, or a write.
    case busy
    /// The task that waited was cancelled.
    case cancelled
    /// The client has as many streams as it may have.
    case tooManyStreams
    /// The datagram is longer than one may be, or there is no room for it now.
    case notSent
    /// There is no path to an exit.
    case noPath
    /// So many values of `isolation` are in use that one more would be too many.
    case tooManyIdentities
    /// No exit has answered in time.
    case timedOut
    /// The exit says that there is no connection.
    case refused(Refusal)
    /// The stream broke, or its session ended.
    case broken

    /// Why an exit makes no connection.
    public enum Refusal: String, Hashable, Sendable {
        /// It says no more.
        case generalFailure
        /// Its policy forbids the destination.
        case notAllowed
        /// There is no such name, or it has no address.
        case hostNotFound
        /// It has no way to the network of the destination.
        case networkUnreachable
        /// It has no way to the destination.
        case hostUnreachable
        /// The destination refused.
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
