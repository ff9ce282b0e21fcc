package import Link
internal import Messages
internal import Wire

/// The entries of all tables of links, which tests compare with the tables' bounds.
package struct LinkHoldings {
    /// A link in the table.
    package struct Entry {
        /// The handle of the link.
        package let link: LinkID
        /// The source that it counts for.
        package let source: LinkSource?
        /// The node at the other end, or a client.
        package let peer: LinkPeer
        /// Whether its initiator has proved that it has the keys.
        package let isUp: Bool
        /// Whether neither end has closed it.
        package let isOpen: Bool
        /// How many paths use it.
        package let paths: Int
        /// The bytes that its control connection and messages hold.
        package let memory: Int
    }

    /// The links, half-open and closing ones included.
    package let links: [Entry]
    /// The entries of the link table.
    package let count: Int
    /// The receiver indices in use.
    package let indices: Int
    /// The number of half-open links.
    package let halfOpen: Int
    /// Handshakes of this end under way or about to begin, and those under way that others asked for.
    package let handshakes: Int, strangersHandshakes: Int
    /// The bytes that long answers hold.
    package let answerBytes: Int
}

extension Links {
    /// The entries of all tables; costs a look at every link.
    package var holdings: LinkHoldings {
        LinkHoldings(
            links: list.all.map {
                LinkHoldings.Entry(
                    link: $0.id, source: list.source(of: $0.id), peer: $0.peer, isUp: $0.isUp, isOpen: $0.isOpen,
                    paths: $0.idle.paths, memory: $0.exchange.memoryUse)
            },
            count: table.count, indices: table.indices.count, halfOpen: list.halfOpenCount,
            handshakes: handshakes.count, strangersHandshakes: handshakes.all.count { $0.source != nil },
            answerBytes: messages.answers.bytes)
    }

    /// The link whose keys the receiver index `index` names; nil if there is none.
    package func link(named index: UInt32) -> LinkID? {
        guard let place = table.indices.find(index), place != IndexTable.reserved else { return nil }
        return table.link(at: Int(truncatingIfNeeded: place))
    }
}
