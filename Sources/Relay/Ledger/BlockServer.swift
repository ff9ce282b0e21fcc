internal import EventLoop
internal import Links
internal import Registry
internal import Store
internal import Wire

/// Answers questions for blocks from the ledger's file, beside the ledger's worker and never in its way.
///
/// Nodes and strangers have as much room each, so that strangers keep no node from the chain.
final class BlockServer {
    /// The longest answer, in bytes of blocks and in blocks.
    static let answerLimit = (bytes: LedgerMessage.blocksSize, blocks: 500)

    private let links: Links
    /// Used by one job at a time, which `isReading` says is under way; nil where nothing is kept.
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

    /// Takes the question of `asker` for the blocks above a height.
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

    /// Goes on with what waits; to be called several times a second.
    func tick() { serve() }

    /// A link is gone.
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
            // A file that cannot be read is the worker's to report: it writes there.
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
