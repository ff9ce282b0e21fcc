internal import EventLoop
internal import Link
internal import Wire

/// What worker 0 orders of the table of a worker, its own among them (docs/architecture/workers.md).
///
/// Orders must reach a worker in the order in which they were given. Keys travel in their order.
public struct LinkOrder: Sendable {
    enum Kind: Sendable {
        /// A link at its place; the receiving side is for its owner.
        case add(Parcel<LinkReceiver>?, LinkSendKey, Liveness, SocketAddress, mayMove: Bool)
        /// For the owner: packets under these keys may come, and the peer has them.
        case renew(Parcel<ReceivingKeys>)
        /// For the owner: packets under these keys may come, and the first one says that the peer uses them. The send
        /// key is for a worker that is the only one.
        case expect(Parcel<ReceivingKeys>, LinkSendKey?)
        case use(LinkSendKey)
        case move(SocketAddress)
        case remove
    }

    let link: LinkID
    let kind: Kind
}

/// What a worker tells worker 0 about a link: the answer to an order, or an event.
public struct LinkAnswer: Sendable {
    enum Kind: Sendable {
        case added, renewed, expects, uses, removed
        /// The link's first packet has come.
        case confirmed
        /// The peer has begun to use the keys that waited.
        case switched
        /// Receiving keys are past their lifetime, and were wiped.
        case expired
    }

    let link: LinkID
    let kind: Kind
    /// The receiver indices of the link that its owner has forgotten.
    var forgotten: [UInt32] = []
}

extension LinkTable {
    /// Carries out an order; returns what worker 0 must be told.
    mutating func take(_ order: LinkOrder) -> LinkAnswer? {
        let link = order.link
        switch order.kind {
        case .add(let receiver, let sendKey, let liveness, let address, let mayMove):
            if let receiver {
                enter(link, receiver.take(), sendKey: sendKey, liveness: liveness, address: address, mayMove: mayMove)
            } else {
                enter(link, nil, sendKey: sendKey, liveness: liveness, address: address, mayMove: mayMove)
            }
            return LinkAnswer(link: link, kind: .added)
        case .renew(let keys):
            renew(link, keys.take())
            return LinkAnswer(link: link, kind: .renewed, forgotten: freeRetired(link))
        case .expect(let keys, let sendKey):
            expect(link, keys.take(), sendKey)
            return LinkAnswer(link: link, kind: .expects, forgotten: freeRetired(link))
        case .use(let sendKey):
            use(link, sendKey)
            return LinkAnswer(link: link, kind: .uses)
        case .move(let address):
            setAddress(address, of: link)
            return nil
        case .remove: return LinkAnswer(link: link, kind: .removed, forgotten: remove(link, keepsPlace: true))
        }
    }

    /// What worker 0 must be told after a batch.
    mutating func takeEvents() -> [LinkAnswer] {
        guard hasCommits else { return [] }
        var events: [LinkAnswer] = []
        while let link = confirmed.popLast() { events.append(LinkAnswer(link: link, kind: .confirmed)) }
        while let link = switched.popLast() {
            events.append(LinkAnswer(link: link, kind: .switched, forgotten: freeRetired(link)))
        }
        return events
    }

    /// Wipes the receiving keys of own links that are over; returns what worker 0 must be told.
    mutating func takeExpired() -> [LinkAnswer] {
        var events: [LinkAnswer] = []
        for place in 0..<placesUsed {
            guard let link = link(at: place) else { continue }
            let forgotten = expire(link)
            if !forgotten.isEmpty { events.append(LinkAnswer(link: link, kind: .expired, forgotten: forgotten)) }
        }
        return events
    }
}
