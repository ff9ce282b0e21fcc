/// Why a name has no addresses.
public enum ResolverError: Error, Equatable, Sendable {
    /// The name is empty, longer than 255 bytes, or has bytes that no name on the wire has.
    case invalidName
    /// There is no such name, or it has no address of the family that was asked for.
    case notFound
    /// No answer came in time.
    case timedOut
    /// Too many queries are under way.
    case tooManyQueries
    /// The servers could not be asked, or their answer was of no use; c-ares' code.
    case failed(Int32)
}
