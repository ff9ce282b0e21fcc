internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import OnionCrypto
internal import Wire

/// Answers questions of nodes and clients for descriptors.
///
/// The answers are encoded on other threads.
final class DescriptorAnswers {
    /// The longest answer, in bytes.
    static let byteLimit = 15 << 20

    /// A question for the changes of descriptors.
    private struct ChangesQuestion: Sendable {
        let since: UnixTime
        let shortDigests: Set<UInt64>
        let responder: ControlResponder
    }

    private let links: Links
    private let nodes: KnownNodes
    /// The encoded descriptors, and the questions that wait for them to be encoded: at most one from each link.
    private var encoded: EncodedDescriptors?
    private var asking: [(since: UnixTime, responder: ControlResponder)] = []
    private var isEncoding = false
    /// The questions for changes that wait for their turn.
    private var comparing = SharedQueue<ChangesQuestion>(capacity: 256, most: 16, freely: 128)
    private var isComparing = false

    /// Answers from the descriptors of `nodes`.
    init(links: Links, nodes: KnownNodes) {
        self.links = links
        self.nodes = nodes
    }

    /// Answers GET_DESCRIPTOR.
    func descriptor(of node: NodeID) -> [UInt8] { nodes.descriptor(of: node)?.bytes ?? [] }

    /// Answers GET_DESCRIPTORS.
    ///
    /// Questions that wait at the same time share one encoding.
    func answer(since time: UnixTime, _ responder: ControlResponder) {
        if let encoded, encoded.isCurrent(for: nodes.descriptors, at: links.time) {
            return answer(responder, since: time, from: encoded)
        }
        asking.append((time, responder))
        encode()
    }

    private func answer(_ responder: ControlResponder, since time: UnixTime, from encoded: EncodedDescriptors) {
        links.answer(responder, encoded.bytes, part: encoded.since(time, byteLimit: Self.byteLimit))
    }

    private func encode() {
        guard !isEncoding, !asking.isEmpty else { return }
        isEncoding = true
        let (batch, descriptors, now) = (asking, nodes.descriptors, links.time)
        asking.removeAll()
        links.loop.work {
            EncodedDescriptors(descriptors, at: now)
        } completion: { [weak self] encoded in
            guard let self else { return }
            isEncoding = false
            self.encoded = encoded
            for (time, responder) in batch { answer(responder, since: time, from: encoded) }
            encode()
        }
    }

    /// Answers GET_DESCRIPTOR_CHANGES, one question at a time, to leave the other threads free for other work.
    ///
    /// Askers take turns.
    func answerChanges(_ body: [UInt8], _ responder: ControlResponder) {
        guard let (time, shortDigests) = try? DescriptorChange.readQuestion(body.rawSpan),
            let source = links.source(of: responder.link)
        else { return links.refuse(responder) }
        let question = ChangesQuestion(since: time, shortDigests: shortDigests, responder: responder)
        if let dropped = comparing.add(question, from: Asker(source)) { links.refuse(dropped.responder) }
        compare()
    }

    private func compare() {
        while !isComparing, let question = comparing.take()?.request {
            guard links.isAnswering(question.responder) else { continue }
            isComparing = true
            let (descriptors, now) = (nodes.descriptors, links.time)
            links.loop.work {
                DescriptorChange.encodeList(
                    descriptors.changes(
                        since: question.since, having: question.shortDigests, at: now, byteLimit: Self.byteLimit))
            } completion: { [weak self] in
                guard let self else { return }
                isComparing = false
                links.answer(question.responder, $0)
                compare()
            }
        }
    }
}
