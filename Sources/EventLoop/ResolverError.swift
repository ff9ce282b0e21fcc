/// Why a query has no result.
public enum ResolverError: Error, Equatable, Sendable {
    /// The name is empty, longer than 255 bytes, or has bytes that are not valid in a name.
    case invalidName
    /// The name does not exist, or has no address of the requested family.
    case notFound
    /// No answer arrived in time.
    case timedOut
    /// Too many queries are under way.
    case tooManyQueries
    /// The servers could not be asked, or their answer was unusable; c-ares' code.
    case failed(Int32)
}
