internal import EventLoop
internal import Link
internal import Wire

/// What an answer means to worker 0.
enum LinkProgress: Equatable {
    /// All workers have the link, so that the peer may be answered.
    case stands(LinkID)
    /// The owner knows the keys of a rekey, so that the peer may be answered.
    case expects(LinkID)
    /// All workers send with the new send key: `LinkKeyring.retireReplaced` ends the one before it.
    case uses(LinkID)
    /// The link's first packet has come: `LinkKeyring.confirmed` follows.
    case confirmed(LinkID)
    /// The peer has begun to use the keys that waited: `LinkKeyring.switched` follows, and then
    /// ``LinkOrders/use(_:_:)``.
    case switched(LinkID)
    /// These receiver indices of the owner's are free.
    case forgotten([UInt32], owner: UInt8)
    /// No worker has the link any more, so that its place is free.
    case gone(LinkID)
}

/// Worker 0's orders about links, and the answers that are still to come.
///
/// Each function returns what is done at once, which is all of it where there is one worker: an order to the own table
/// is a direct call.
struct LinkOrders {
    private struct State {
        let owner: UInt8
        /// How many workers have not answered, by question.
        var adding: Int
        var using = 0
        var removing = 0
        /// The send key that follows once the owner has the receiving keys.
        var sendKey: LinkSendKey?
    }

    private let workers: UInt8
    private let order: (UInt8, LinkOrder) -> LinkAnswer?
    private var states: [LinkID: State] = [:]

    /// Orders to so many workers; `order` carries them out for worker 0 and returns the answer, and sends them to
    /// others.
    init(workers: UInt8, order: @escaping (UInt8, LinkOrder) -> LinkAnswer?) {
        self.workers = workers
        self.order = order
    }

    private var all: Int { Int(truncatingIfNeeded: workers) }

    /// How many links are known.
    var count: Int { states.count }

    /// The worker that receives a link's packets; nil when it is gone.
    func owner(of link: LinkID) -> UInt8? { states[link]?.owner }

    // MARK: Orders

    /// Tells the other workers of a link that worker 0's table has; `receiver` is for its owner, and nil if that is
    /// worker 0.
    mutating func add(
        _ link: LinkID, owner: UInt8, _ receiver: consuming LinkReceiver?, sendKey: LinkSendKey, liveness: Liveness,
        address: SocketAddress, mayMove: Bool
    ) -> [LinkProgress] {
        states[link] = State(owner: owner, adding: all - 1)
        var progress: [LinkProgress] = workers == 1 ? [.stands(link)] : []
        switch consume receiver {
        case .some(let receiver):
            give(owner, link, .add(Parcel(receiver), sendKey, liveness, address, mayMove: mayMove), &progress)
        case .none: precondition(owner == 0, "the owner gets the receiving side")
        }
        for worker in 1..<max(1, workers) where worker != owner {
            give(worker, link, .add(nil, sendKey, liveness, address, mayMove: mayMove), &progress)
        }
        return progress
    }

    /// Has new keys used that the peer has already: by the owner first, then by all that send.
    mutating func renew(_ link: LinkID, _ keys: consuming ReceivingKeys, _ sendKey: LinkSendKey) -> [LinkProgress] {
        guard let owner = states[link]?.owner else { return [] }
        states[link]?.sendKey = sendKey
        var progress: [LinkProgress] = []
        give(owner, link, .renew(Parcel(keys)), &progress)
        return progress
    }

    /// Has the owner wait for packets under new keys.
    mutating func expect(_ link: LinkID, _ keys: consuming ReceivingKeys, _ sendKey: LinkSendKey) -> [LinkProgress] {
        guard let owner = states[link]?.owner else { return [] }
        var progress: [LinkProgress] = []
        give(owner, link, .expect(Parcel(keys), workers == 1 ? sendKey : nil), &progress)
        return progress
    }

    /// Has all workers send with the send key of keys that the peer has begun to use.
    ///
    /// A worker that is the only one does so already, since the packet that said it.
    mutating func use(_ link: LinkID, _ sendKey: LinkSendKey) -> [LinkProgress] {
        var progress: [LinkProgress] = workers == 1 ? [.uses(link)] : []
        if workers > 1 { useEverywhere(link, sendKey, &progress) }
        return progress
    }

    private mutating func useEverywhere(_ link: LinkID, _ sendKey: LinkSendKey, _ progress: inout [LinkProgress]) {
        let count = all
        states[link]?.using += count
        for worker in 0..<workers { give(worker, link, .use(sendKey), &progress) }
    }

    /// Has all workers send to another address.
    mutating func move(_ link: LinkID, to address: SocketAddress) {
        var progress: [LinkProgress] = []
        guard states[link] != nil else { return }
        for worker in 0..<workers { give(worker, link, .move(address), &progress) }
    }

    /// Has all workers forget a link; worker 0 keeps its place until all have.
    mutating func remove(_ link: LinkID) -> [LinkProgress] {
        guard states[link] != nil else { return [] }
        let count = all
        states[link]?.removing = count
        var progress: [LinkProgress] = []
        for worker in 0..<workers { give(worker, link, .remove, &progress) }
        return progress
    }

    private mutating func give(
        _ worker: UInt8, _ link: LinkID, _ kind: LinkOrder.Kind, _ progress: inout [LinkProgress]
    ) {
        guard let answer = order(worker, LinkOrder(link: link, kind: kind)) else { return }
        take(answer, &progress)
    }

    // MARK: Answers

    /// Takes what a worker has told.
    mutating func answered(_ answer: LinkAnswer) -> [LinkProgress] {
        var progress: [LinkProgress] = []
        take(answer, &progress)
        return progress
    }

    private mutating func take(_ answer: LinkAnswer, _ progress: inout [LinkProgress]) {
        let link = answer.link
        guard var state = states[link] else { return }
        if !answer.forgotten.isEmpty { progress.append(.forgotten(answer.forgotten, owner: state.owner)) }
        switch answer.kind {
        case .added:
            state.adding -= 1
            if state.adding == 0 { progress.append(.stands(link)) }
        case .renewed:
            let sendKey = state.sendKey
            state.sendKey = nil
            states[link] = state
            if let sendKey, state.removing == 0 { useEverywhere(link, sendKey, &progress) }
            return
        case .expects: progress.append(.expects(link))
        case .uses:
            state.using -= 1
            if state.using == 0 { progress.append(.uses(link)) }
        case .removed:
            state.removing -= 1
            if state.removing == 0 {
                states[link] = nil
                progress.append(.gone(link))
                return
            }
        case .confirmed: progress.append(.confirmed(link))
        case .switched: progress.append(.switched(link))
        case .expired: break
        }
        states[link] = state
    }
}
