internal import EventLoop
internal import Links
internal import Onion
internal import OnionCrypto
internal import Watch
internal import Wire

/// A hop of a test, with what is to be known of it.
struct TestHop {
    let target: HopTarget
    let addresses: [Endpoint]
}

/// One test: a link to the first hop, a path over all, a packet to its end and back, and perhaps a burst.
///
/// What it sends is what a client sends: the same handshake, the same build, the same packets.
final class TestPath {
    /// How long each part may take.
    static let linkLimit = TimeSpan.seconds(3)
    static let buildLimit = TimeSpan.seconds(10)
    static let echoLimit = TimeSpan.seconds(3)
    /// When a packet that has no answer yet is followed by another, doubled each time: one may be lost, at a busy node more.
    private static let firstRepeat = TimeSpan.milliseconds(100)
    /// How many packets a burst has: 89 kB at the usual size.
    static let burst = 64

    private enum State {
        case linking, building, echo, burst, over
    }

    private let links: Links
    private let network: Bytes32
    private let packetSize: Int
    private let hops: [TestHop]
    /// Which of the hops is tested.
    private let place: Int
    private let wantsCapacity: Bool
    let pathID: UInt64
    private let began: Instant
    private var completion: ((TestOutcome, TimeSpan) -> Void)?
    private var state = State.linking
    private(set) var link: LinkID?
    private var layers: ClientPath?
    private var guardPathID: UInt64 = 0
    private var timer: LoopTimer?
    /// When each packet that asks for an answer was sent, the first by the leg's number 0.
    private var echoes: [Instant] = []
    private var sent = Instant(nanoseconds: 0)
    private var firstNumber: UInt64?
    private var lastNumber: UInt64 = 0
    private var roundTrip = TimeSpan.zero
    private var duration = TimeSpan.zero
    private var hasArrived = false

    /// A test of the hop at `place`; `completion` gets what came of it and how long the answer took.
    init(
        links: Links, network: Bytes32, packetSize: Int, hops: [TestHop], place: Int, wantsCapacity: Bool,
        pathID: UInt64, completion: @escaping (TestOutcome, TimeSpan) -> Void
    ) {
        self.links = links
        self.network = network
        self.packetSize = packetSize
        self.hops = hops
        self.place = place
        self.wantsCapacity = wantsCapacity
        self.pathID = pathID
        self.completion = completion
        began = links.now
    }

    /// Begins with the link.
    func start() {
        timer = LoopTimer(on: links.loop) { [weak self] in self?.timeIsUp() }
        links.link(to: NodeID(hops[0].target.node), at: hops[0].addresses, limit: Self.linkLimit) { [weak self] link in
            guard let self, state == .linking else { return }
            guard let link else { return end(place == 0 ? .failed : .unclear) }
            self.link = link
            build(link)
        }
    }

    // MARK: Building

    private func build(_ link: LinkID) {
        guard let builder = try? PathBuilder(hops: hops.map(\.target), network: network, time: links.time) else {
            return end(.unclear)
        }
        state = .building
        let pending = Builder(builder)
        links.request(on: link, .build, body: pending.message(pathID), timeout: Self.buildLimit) { [weak self] result in
            guard let self, state == .building, let builder = pending.take() else { return }
            guard case .success(let body) = result else { return end(place == 0 ? .failed : .unclear) }
            built(builder.receive(body.rawSpan, now: links.now))
        }
    }

    private func built(_ result: consuming PathBuildResult) {
        switch consume result {
        case .built(let layers, let guardPathID):
            self.layers = consume layers
            self.guardPathID = guardPathID
            if let link { links.addPath(on: link) }
            state = .echo
            sendEcho()
        case .refused(let hop, let status):
            if hop > place { return end(.passed(capacity: nil)) }
            guard hop == place else { return end(.unclear) }
            switch status {
            case .draining: end(.failed)
            // A busy node is no dead one, and what it says of the next may be true.
            default: end(.unclear)
            }
        case .broken(let hop): end(hop == place ? .failed : .unclear)
        }
    }

    // MARK: Packets

    /// Sends a packet that asks for an answer, and sets when the next follows or the wait is over.
    private func sendEcho() {
        let now = links.now
        guard send() != nil else { return end(.unclear) }
        let wait = Self.firstRepeat * (1 << Int64(echoes.count))
        echoes.append(now)
        timer?.schedule(at: min(now + wait, echoes[0] + Self.echoLimit).nanoseconds)
    }

    private func timeIsUp() {
        if hasArrived {
            hasArrived = false
            return state == .echo ? echoed() : measured()
        }
        switch state {
        case .echo:
            guard let first = echoes.first, links.now - first < Self.echoLimit else {
                return end(place == 0 ? .failed : .unclear)
            }
            sendEcho()
        case .burst: end(.passed(capacity: nil))
        case .linking, .building, .over: break
        }
    }

    /// Sends one packet to the terminal: a hello, a ping, and padding.
    private func send() -> UInt64? {
        guard let link, let number = layers?.nextNumber else { return nil }
        let now = links.now
        let size = packetSize
        let isSent = links.withTable { table in
            table.send(on: link) { packet in
                do {
                    var payload = packet._mutatingExtracting(droppingFirst: Packet.payloadOffset)
                    var writer = FrameWriter(size: size - Packet.payloadOffset)
                    let hello = LegHello(leg: 0, kind: .newSession).encoded
                    writer.raw(hello.rawSpan, into: &payload)
                    writer.u8(FrameType.ping, into: &payload)
                    writer.pad(&payload)
                }
                packet.pathID = guardPathID
                return layers?.seal(&packet, now: now) == number
            }
        }
        return isSent ? number : nil
    }

    /// A packet came back; false when its layers do not verify.
    func received(_ packet: inout MutableRawSpan) -> Bool {
        guard state != .over, case .packet = layers?.open(&packet, now: links.now) else { return false }
        let acknowledged = Self.largestAcknowledged(packet.bytes.extracting(droppingFirst: Packet.payloadOffset))
        switch state {
        case .echo:
            let place = min(Int(clamping: acknowledged ?? 0), echoes.count - 1)
            roundTrip = links.now - echoes[place]
            duration = links.now - began
            arrived()
        case .burst:
            if let firstNumber, let acknowledged, acknowledged >= lastNumber - firstNumber {
                arrived()
            }
        case .linking, .building, .over: break
        }
        return true
    }

    /// What was waited for is here: the rest waits until the batch of packets is done.
    private func arrived() {
        hasArrived = true
        timer?.schedule(at: 0)
    }

    private static func largestAcknowledged(_ payload: RawSpan) -> UInt64? {
        var reader = FrameReader(payload)
        var largest: UInt64?
        while let frame = try? reader.next() {
            if case .ack(let ack) = frame { largest = ack.largest }
        }
        return largest
    }

    private func echoed() {
        guard state == .echo else { return }
        guard wantsCapacity, let first = layers?.nextNumber else { return end(.passed(capacity: nil)) }
        state = .burst
        // Numbers in acknowledgements count from the leg's start: that of the first packet.
        firstNumber = first - UInt64(echoes.count)
        sent = links.now
        for _ in 0..<Self.burst {
            guard let number = send() else { return end(.passed(capacity: nil)) }
            lastNumber = number
        }
        timer?.schedule(at: (links.now + .seconds(3)).nanoseconds)
    }

    /// The burst's last packet was acknowledged: what came through in the time beyond a round trip.
    private func measured() {
        guard state == .burst else { return }
        let whole = links.now - sent
        let beyond = max(whole - roundTrip, max(whole / 8, .microseconds(100)))
        let bytes = Double(Self.burst * packetSize)
        end(.passed(capacity: UInt32(clamping: Int(bytes / 1_000 / beyond.inSeconds))))
    }

    // MARK: The end

    /// The link or the path is gone.
    func lost() {
        if state == .echo || state == .burst { end(place == 0 ? .failed : .unclear) }
    }

    /// Ends the test without a result.
    func cancel() {
        completion = nil
        end(.unclear)
    }

    private func end(_ outcome: TestOutcome) {
        guard state != .over else { return }
        state = .over
        timer?.close()
        if let link {
            if guardPathID != 0 {
                links.destroy(guardPathID, on: link)
                links.removePath(on: link)
            }
        }
        layers = nil
        let told = completion
        completion = nil
        told?(outcome, duration)
    }
}

/// A builder that waits for its answer, used once.
private final class Builder {
    private var builder: PathBuilder?

    init(_ builder: consuming PathBuilder) { self.builder = consume builder }

    func message(_ pathID: UInt64) -> [UInt8] {
        switch builder {
        case .some(let builder): builder.message(pathID: pathID)
        case .none: []
        }
    }

    func take() -> PathBuilder? { builder.take() }
}
