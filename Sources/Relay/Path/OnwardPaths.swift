internal import Link
internal import Links
internal import Onion
internal import Wire

/// The paths that lead on over each link, with shares: the next hop cannot tell their sources apart, and takes only so
/// many of one node.
///
/// When a link has as many paths as the next hop takes, a new one replaces one of the source with the most
/// (`SharedTable`).
struct OnwardPaths {
    private let most: Int
    private var links: [LinkID: SharedTable<LinkSource.Group, LinkSource, PathHandle>] = [:]

    /// No paths yet; `most` is how many a next hop takes.
    init(most: Int) { self.most = most }

    /// Enters a path of `source` that leads on over `next`; the result names the path that must end for it.
    mutating func insert(
        _ path: PathHandle, over next: LinkID, of source: LinkSource
    ) -> SharedTable<LinkSource.Group, LinkSource, PathHandle>.Insertion {
        links[next, default: SharedTable(capacity: most, most: most)].insert(path, for: source, in: source.group)
    }

    /// Removes a path; has no effect if it is not there.
    mutating func remove(_ path: PathHandle, over next: LinkID) {
        links[next]?.remove(path)
        if links[next]?.count == 0 { links[next] = nil }
    }
}
