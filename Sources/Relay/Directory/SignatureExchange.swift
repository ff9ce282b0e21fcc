internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import OnionCrypto
internal import Wire

/// Collects the signatures that an exchange receives.
protocol SignatureCollector<Subject>: AnyObject {
    /// The kind of thing that is signed.
    associatedtype Subject
    /// The signatures that are collected for a digest; nil if none are.
    func collection(_ digest: Bytes32) -> Signatures<Subject>?
    /// Adds verified signatures.
    ///
    /// Returns the new ones.
    func add(_ items: [SignatureItem], for digest: Bytes32) -> [SignatureItem]
}

/// Exchanges signatures of one kind of subject with neighbours (protocol.md, section 10.3).
///
/// New signatures are sent in bundles. Questions carry a bitmap of the signatures that are held.
///
/// Signatures are checked on another thread. Each kind of subject has its own queue.
final class SignatureExchange<Subject: Sendable> {
    /// The number of neighbours that new signatures are sent to.
    static var fanout: Int { 4 }
    /// The longest wait for an answer.
    static var answerLimit: TimeSpan { .seconds(60) }

    private let links: Links
    private let neighbours: Neighbours
    private let log: Logger
    private let bring: DirectoryMessage
    private let ask: DirectoryMessage
    private var inbox = SignatureInbox()
    private var answers: SignatureAnswers
    private var isChecking = false
    /// New signatures for the neighbours, their digest, and the timer that sends them.
    private var news: [SignatureItem] = []
    private var newsOf: Bytes32?
    private var newsTimer: LoopTimer?
    private unowned let collector: any SignatureCollector<Subject>

    /// An exchange with the messages `bring` and `ask`, owned by the `collector`.
    init(
        links: Links, neighbours: Neighbours, log: Logger, bring: DirectoryMessage, ask: DirectoryMessage,
        for collector: any SignatureCollector<Subject>
    ) {
        self.links = links
        self.neighbours = neighbours
        self.log = log
        self.bring = bring
        self.ask = ask
        self.collector = collector
        answers = SignatureAnswers(now: links.now)
        newsTimer = LoopTimer(on: links.loop) { [weak self] in self?.tellNews() }
    }

    /// Accepts signatures again from neighbours that sent wrong ones.
    func forgive() { inbox.forgive() }

    /// Sends new signatures to some neighbours after a short delay, in bundles.
    func spread(_ new: [SignatureItem], of digest: Bytes32) {
        guard !new.isEmpty else { return }
        if newsOf != digest {
            tellNews()
            newsOf = digest
        }
        if news.isEmpty {
            let isLarge = collector.collection(digest).map { $0.voters.count > 100 } ?? false
            let delay: TimeSpan = isLarge ? .milliseconds(500) : .milliseconds(20)
            newsTimer?.schedule(at: links.loop.now + UInt64(delay.nanoseconds))
        }
        news += new
    }

    private func tellNews() {
        guard !news.isEmpty, let digest = newsOf, let collection = collector.collection(digest) else {
            return news.removeAll()
        }
        let head = Self.head(collection.height, digest)
        let most = (bring.longestBody - head.count) / SignatureItem.size
        let body = head + Signatures<Subject>.encode(Array(news.prefix(most)))
        for peer in SecureRandom.shuffled(neighbours.up.values).prefix(Self.fanout) {
            links.send(on: peer, bring, body: body)
        }
        news.removeAll()
    }

    /// The encoding of a height and a digest, which precede signatures and begin questions.
    static func head(_ height: UInt64, _ digest: Bytes32) -> [UInt8] {
        var writer = ByteWriter(capacity: 40)
        writer.u64(height)
        writer.bytes32(digest)
        return writer.bytes
    }

    /// Asks a random neighbour for the signatures that `collection` lacks.
    func pull(_ collection: Signatures<Subject>) {
        let heard = neighbours.up.filter { !inbox.liars.contains($0.key) }
        guard !collection.isWhole, let (node, link) = SecureRandom.element(of: heard) else { return }
        let digest = collection.digest
        let body = Self.head(collection.height, digest) + collection.bitmap
        links.request(on: link, ask, body: body, timeout: Self.answerLimit) { [weak self] result in
            guard let self, case .success(let body) = result, !body.isEmpty else { return }
            var reader = ByteReader(body.rawSpan)
            guard let items = try? Signatures<Subject>.decode(from: &reader) else { return }
            check(items, from: node, for: digest)
        }
    }

    /// Takes signatures from a neighbour.
    ///
    /// Returns their subject if nothing is collected for it.
    func take(_ body: [UInt8], from node: NodeID) -> (height: UInt64, digest: Bytes32)? {
        var reader = ByteReader(body.rawSpan)
        guard !inbox.liars.contains(node), let height = try? reader.u64(), let digest = try? reader.bytes32(),
            let items = try? Signatures<Subject>.decode(from: &reader)
        else { return nil }
        guard collector.collection(digest) != nil else { return (height, digest) }
        check(items, from: node, for: digest)
        return nil
    }

    /// Answers a question for signatures, or refuses a malformed one.
    func answer(_ body: [UInt8], _ responder: ControlResponder) {
        var reader = ByteReader(body.rawSpan)
        guard (try? reader.u64()) != nil, let digest = try? reader.bytes32(),
            let bitmap = try? reader.array(reader.remaining), let source = links.source(of: responder.link)
        else { return links.refuse(responder) }
        guard let found = collector.collection(digest) else { return links.answer(responder, []) }
        let bytes = answers.answer(
            found, without: bitmap, to: source, byteLimit: ask.longestAnswer, now: links.now
        ) { collector.collection($0) != nil }
        links.answer(responder, bytes)
    }

    /// Checks signatures on another thread, each only once, and adds the good ones.
    private func check(_ items: [SignatureItem], from node: NodeID, for digest: Bytes32) {
        guard let collection = collector.collection(digest) else { return }
        inbox.put(items, from: node, for: collection)
        checkWaiting()
    }

    private func checkWaiting() {
        while !isChecking, let digest = inbox.digest {
            guard let collection = collector.collection(digest) else {
                inbox.drop(digest)
                continue
            }
            let items = inbox.take(for: collection)
            if !items.isEmpty { check(items, for: collection) }
        }
    }

    private func check(_ items: [SignatureInbox.Entry], for collection: Signatures<Subject>) {
        let digest = collection.digest
        isChecking = true
        links.loop.work {
            collection.checked(items)
        } completion: { [weak self] found in
            guard let self else { return }
            isChecking = false
            if inbox.shun(found.liars) {
                log.warning("a node brought a wrong signature; no more of it are read until the next snapshot")
            }
            spread(collector.add(found.good, for: digest), of: digest)
            checkWaiting()
        }
    }

    func close() {
        newsTimer?.close()
        newsTimer = nil
    }
}
