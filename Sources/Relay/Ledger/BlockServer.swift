internal import EventLoop
internal import Links
internal import Registry
internal import Store
internal import Wire

/// Answers questions for blocks from the ledger's file, without the ledger's worker and without delaying it.
///
/// Nodes and clients have tables of equal size, so that clients cannot keep nodes from the chain.
final class BlockServer {
    /// The longest answer, in bytes of blocks and in blocks.
    static let answerLimit = (bytes: LedgerMessage.blocksSize, blocks: 500)

    private let links: Links
    /// The reader, which one job at a time uses while ``isReading`` is set; nil if the node has no ledger file.
    private let reader: LedgerReader?
    private var isReading = false
    private var nodes = BlockQuestions()
    private var strangers = BlockQuestions()
    private var isTurnOfNodes = true

    init(links: Links, reader: LedgerReader?) {
        self.links = links
        self.reader = reader
    }

    private var now: Instant { links.now }

    /// Takes a question of `asker` for the blocks above a height.
    func received(_ height: UInt64, from asker: Asker, _ responder: ControlResponder) {
        let question = BlockQuestions.Question(asker: asker, height: height, responder: responder)
        let refused =
            switch asker {
            case .node: nodes.add(question)
            case .address: strangers.add(question)
            }
        if let refused { links.refuse(refused.responder) }
        serve()
    }

    /// Answers questions that wait.
    ///
    /// To be called several times a second.
    func tick() { serve() }

    /// To be called when a link has ended.
    func linkDown(_ link: LinkID) {
        nodes.linkDown(link)
        strangers.linkDown(link)
    }

    private func next() -> BlockQuestions.Question? {
        isTurnOfNodes.toggle()
        return isTurnOfNodes
            ? nodes.next(now: now) ?? strangers.next(now: now) : strangers.next(now: now) ?? nodes.next(now: now)
    }

    private func serve() {
        for late in nodes.sweep(now: now, isAnswering: links.isAnswering)
            + strangers.sweep(now: now, isAnswering: links.isAnswering)
        {
            links.abandon(late)
        }
        guard !isReading, let question = next() else { return }
        guard let reader else { return links.answer(question.responder, FinalBlock.encodeList([])) }
        isReading = true
        let height = question.height
        links.loop.work({ () -> [UInt8]? in
            // The worker writes the same file, and reports if the disk fails.
            let blocks = try? reader.blocks(
                above: height, limit: Self.answerLimit.blocks, byteLimit: Self.answerLimit.bytes)
            return blocks.map { FinalBlock.encodeList($0) }
        }) { [weak self] body in
            guard let self else { return }
            isReading = false
            if let body { links.answer(question.responder, body) } else { links.refuse(question.responder) }
            serve()
        }
    }
}
