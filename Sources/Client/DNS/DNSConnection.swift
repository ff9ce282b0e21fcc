internal import DNSProtocol
internal import EventLoop
internal import Links
internal import Wire

/// An app's TCP connection to a DNS port (RFC 7766): messages with a length prefix, answered as their answers arrive.
final class DNSConnection: ByteStreamDelegate {
    /// How long the connection may be silent.
    static let idleLimit = TimeSpan.seconds(30)
    /// The most questions that wait for answers; at this number the connection is not read.
    static let questionLimit = 64
    /// The most bytes of answers that wait for the app; at this number no question is read.
    static let writeLimit = 256 << 10

    private let stream: ByteStream
    /// The app's address and port.
    private let source: Endpoint
    let owner: KeyOwner
    private weak var port: DNSPort?
    /// What was received and not answered yet, behind ``taken`` bytes of messages that were.
    private var held: [UInt8] = []
    private var taken = 0
    private var waiting = 0 {
        didSet { if (waiting > 0) != (oldValue > 0) { port?.setWaiting(self, waiting > 0) } }
    }
    private var hasEnded = false
    private var isAnswering = false
    private var isOver = false
    private var timer: LoopTimer?
    /// When something was last received or sent.
    private(set) var lastUsed: Instant

    /// Serves `stream` of `owner`; the port keeps it until ``DNSPort/ended(_:)``.
    init(_ stream: ByteStream, of owner: KeyOwner, port: DNSPort) {
        self.stream = stream
        self.owner = owner
        self.port = port
        source = stream.remoteAddress.map { Endpoint($0) } ?? port.address
        lastUsed = Instant(nanoseconds: stream.loop.now)
        timer = LoopTimer(on: stream.loop) { [weak self] in self?.close() }
        stream.delegate = self
        stream.startReading()
        use()
    }

    private func use() {
        lastUsed = Instant(nanoseconds: stream.loop.now)
        timer?.schedule(at: (lastUsed + Self.idleLimit).nanoseconds)
    }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        held += [UInt8](copying: bytes)
        use()
        answerHeld()
    }

    private func answerHeld() {
        guard !isAnswering else { return }
        isAnswering = true
        while !isOver, held.count - taken >= 2, waiting < Self.questionLimit, stream.queuedBytes < Self.writeLimit {
            let length = Int(held[taken]) << 8 | Int(held[taken + 1])
            // No message is shorter, and no query longer. The first letters of a text protocol would give a greater
            // length.
            guard DNSQuery.sizes ~= length else { return close() }
            let start = taken + 2
            guard held.count - start >= length else { break }
            let message = Array(held[start..<start + length])
            taken = start + length
            waiting += 1
            port?.answer(message.rawSpan, of: source, overUDP: false) { [weak self] in self?.send($0) }
        }
        isAnswering = false
        guard !isOver else { return }
        // Each removal moves all that is behind it, so there is one for many messages.
        if taken >= held.count - taken {
            held.removeFirst(taken)
            taken = 0
        }
        if waiting >= Self.questionLimit || stream.queuedBytes >= Self.writeLimit {
            stream.stopReading()
        } else if !hasEnded {
            stream.startReading()
        }
        if hasEnded, waiting == 0 { stream.shutdown() }
    }

    /// Sends an answer; nil: the message gets none, and gives its place to the next.
    private func send(_ answer: [UInt8]?) {
        guard !isOver else { return }
        waiting -= 1
        if let answer {
            use()
            let length = UInt16(answer.count)
            do throws(UVError) {
                try stream.write([UInt8(length >> 8), UInt8(truncatingIfNeeded: length)] + answer)
            } catch {
                close()
            }
        }
        answerHeld()
    }

    func streamReachedEnd(_ stream: ByteStream) {
        hasEnded = true
        answerHeld()
    }

    func streamDrained(_ stream: ByteStream) { answerHeld() }
    func streamFinishedWriting(_ stream: ByteStream) { close() }
    func stream(_ stream: ByteStream, failed error: UVError) { close() }

    /// Closes the connection; answers that come later are dropped.
    func close() {
        guard !isOver else { return }
        isOver = true
        timer?.close()
        timer = nil
        stream.close()
        port?.ended(self)
    }
}
