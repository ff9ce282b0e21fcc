package import Control
package import Process

/// Reads a box of the swarm store part by part, as its replicas show it.
///
/// A place names a replica, its numbering of the box, and the last number read.
package struct BoxReader {
    /// More entries than a box has: its messages, contact requests, their tombstones, and versions.
    static let most = 65_536

    /// Asks for the part of the box behind a place; nil: from the beginning, of any replica.
    private let ask: (String?) throws(Failure) -> BoxReport
    /// Where the next part begins.
    private var place: String?
    /// The ids of the items that ``readNew()`` has returned.
    private var seen: Set<String> = []

    /// A reader that begins at `place`.
    package init(at place: String? = nil, ask: @escaping (String?) throws(Failure) -> BoxReport) {
        self.place = place
        self.ask = ask
    }

    /// The whole box as one replica shows it, without the items' contents.
    package mutating func readAll() throws(Failure) -> BoxReport {
        var all = try ask(place)
        var parts = 1
        while all.more, all.next != place {
            place = all.next
            let page = try ask(place)
            guard Self.numbering(page.next) == Self.numbering(all.next) else {
                throw Failure(.unavailable, "\(all.replica) has begun to number the box anew; list it again")
            }
            all.entries += page.entries
            parts += 1
            guard all.entries.count <= Self.most, parts <= Self.most else {
                throw Failure(.unavailable, "\(all.replica) shows more than a box may have; ask another node")
            }
            (all.next, all.more) = (page.next, page.more)
        }
        for index in all.entries.indices { all.entries[index].content = nil }
        all.more = false
        return all
    }

    /// The items of the next part that were not returned before, and whether the box may have more of them now.
    ///
    /// Where the replica does not answer any more, any other goes on at the next call; without any this throws.
    package mutating func readNew() throws(Failure) -> (entries: [BoxReport.Entry], hasMore: Bool) {
        do throws(Failure) {
            let page = try ask(place)
            // Another replica numbers the same items anew.
            let entries = page.entries.filter { $0.id.map { seen.insert($0).inserted } ?? false }
            let hasMore = page.more && page.next != place
            place = page.next
            return (entries, hasMore)
        } catch {
            guard place != nil else { throw error }
            place = nil
            return ([], false)
        }
    }

    /// The replica and its numbering, of a place.
    private static func numbering(_ place: String) -> Substring {
        place[..<(place.lastIndex(of: ":") ?? place.endIndex)]
    }
}
