internal import EventLoop
internal import Links
internal import Onion
internal import Paths
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
    /// How long a link may take.
    static let linkLimit = TimeSpan.seconds(3)
    /// A node answers a build within the times that it gives the next one: who is silent longer is at fault itself.
    static let buildLimit = PathService.linkLimit + PathService.answerLimit + .seconds(1)
    /// How long the answer to a packet may take.
    static let echoLimit = TimeSpan.seconds(3)
    /// When a packet that has no answer yet is followed by another, doubled each time: one may be lost, at a busy node more.
    private static let firstRepeat = TimeSpan.milliseconds(100)
    /// How long acknowledgements of a burst are waited for.
    private static let burstLimit = TimeSpan.seconds(3)

    private enum State {
        case linking, building, echo, burst, over
    }

    private let maker: PathMaker
    private var links: Links { maker.links }
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
    /// The node to which its link leads.
    var first: NodeID { NodeID(hops[0].target.node) }
    private var path: BuiltPath?
    private var timer: LoopTimer?
    /// When each packet that asks for an answer was sent, the first by the leg's number 0.
    private var echoes: [Instant] = []
    private var burst: Burst?
    private var roundTrip = TimeSpan.zero
    private var duration = TimeSpan.zero
    private var hasArrived = false

    /// A test of the hop at `place`; `completion` gets what came of it and how long the answer took.
    init(
        maker: PathMaker, packetSize: Int, hops: [TestHop], place: Int, wantsCapacity: Bool, pathID: UInt64,
        completion: @escaping (TestOutcome, TimeSpan) -> Void
    ) {
        self.maker = maker
        self.packetSize = packetSize
        self.hops = hops
        self.place = place
        self.wantsCapacity = wantsCapacity
        self.pathID = pathID
        self.completion = completion
        began = maker.links.now
    }

    /// Begins with the link.
    func start() {
        timer = LoopTimer(on: links.loop) { [weak self] in self?.timeIsUp() }
        maker.build(
            hops.map(\.target), at: hops[0].addresses, as: pathID, limits: (Self.linkLimit, Self.buildLimit),
            isWanted: { [weak self] in self.map { $0.state != .over } ?? false },
            linked: { [weak self] link in
                self?.link = link
                self?.state = .building
            },
            completion: { [weak self] in self?.built($0) })
    }

    private func built(_ outcome: consuming PathOutcome) {
        switch consume outcome {
        case .built(let path):
            self.path = consume path
            state = .echo
            sendEcho()
        case .noLink: end(place == 0 ? .failed : .unclear)
        case .unanswered: end(place == 0 ? .failed : .unclear)
        case .unbuildable: end(.unclear)
        // A node resets the builds beyond its rate.
        case .reset: end(place == 0 ? .refused : .unclear)
        case .refused(let hop, let status):
            if hop > place { return end(.passedOn) }
            guard hop == place else { return end(.unclear) }
            switch status {
            case .draining: end(.failed)
            // What it says of the next may be true.
            case .unknownNextHop, .nextHopUnreachable, .nextHopFailed: end(.unclear)
            // A busy node is no dead one.
            case .ready, .overloaded, .suiteUnavailable, .timeInvalid: end(.refused)
            }
        // The hop before can change the next one's record so that its own still verifies.
        case .broken(let hop): end(hop == 0 && place == 0 ? .failed : .unclear)
        }
    }

    // MARK: Packets

    /// Sends a packet that asks for an answer, and sets when the next follows or the wait is over.
    private func sendEcho() {
        let now = links.now
        guard send() else { return end(.unclear) }
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
            guard let first = echoes.first, links.now - first < Self.echoLimit else { return silent() }
            sendEcho()
        case .burst: if burst?.nextGroup == nil { measured() } else { sendGroup() }
        case .linking, .building, .over: break
        }
    }

    /// Sends one packet to the terminal, a hello, a ping, and padding; false when it could not be sent.
    private func send() -> Bool {
        let size = packetSize - Packet.payloadOffset
        return path?.send(over: links, now: links.now) { _, payload in
            var writer = FrameWriter(size: size)
            let hello = LegHello(leg: 0, kind: .newSession).encoded
            writer.raw(hello.rawSpan, into: &payload)
            writer.u8(FrameType.ping, into: &payload)
            writer.pad(&payload)
            return true
        } ?? false
    }

    /// A packet came back; false when its layers do not verify.
    func received(_ packet: inout MutableRawSpan) -> Bool {
        guard state != .over, case .packet = path?.layers.open(&packet, now: links.now) else { return false }
        var reader = FrameReader(packet.bytes.extracting(droppingFirst: Packet.payloadOffset))
        // What cannot be read is not there: the packet counts as one without an acknowledgement.
        while let frame = try? reader.next() {
            if case .ack(let ack) = frame { acknowledged(ack) }
        }
        return true
    }

    /// Numbers count from the path's first packet, which asked for an answer as those behind it did.
    private func acknowledged(_ ack: borrowing AckFrame) {
        let now = links.now
        switch state {
        case .echo where !hasArrived:
            roundTrip = now - echoes[min(Int(clamping: ack.largest), echoes.count - 1)]
            duration = now - began
            arrived()
        case .burst where !hasArrived:
            let first = UInt64(echoes.count)
            var ranges = ack.ranges
            while let range = ranges.next(), range.high >= first {
                burst?.packetsAcknowledged(range.low - min(range.low, first), range.high - first, now: now)
            }
            if burst?.isComplete == true { arrived() }
        case .linking, .building, .echo, .burst, .over: break
        }
    }

    /// What was waited for is here: the rest waits until the batch of packets is done.
    private func arrived() {
        hasArrived = true
        timer?.schedule(at: 0)
    }

    private func echoed() {
        guard state == .echo else { return }
        guard wantsCapacity else { return end(.passed(capacity: nil)) }
        state = .burst
        burst = Burst(roundTrip: roundTrip, now: links.now)
        sendGroup()
    }

    /// Sends what is due of the burst, and sets when the next is or the wait is over.
    private func sendGroup() {
        while let due = burst?.nextGroup {
            guard due <= links.now else { return timer?.schedule(at: due.nanoseconds) ?? () }
            repeat {
                guard send() else { return end(.passed(capacity: nil)) }
                burst?.packetSent(links.now)
            } while burst?.isGroupComplete == false
        }
        timer?.schedule(at: (links.now + Self.burstLimit).nanoseconds)
    }

    private func measured() {
        guard state == .burst else { return }
        end(.passed(capacity: burst?.capacity(packetSize: packetSize)))
    }

    // MARK: The end

    /// The link or the path is gone.
    func lost() {
        if state == .echo || state == .burst { silent() }
    }

    /// The path stood and carries nothing: each of its hops may be at fault, and the only one is.
    private func silent() { end(hops.count == 1 ? .failed : .unclear) }

    /// Ends the test without a result.
    func cancel() {
        completion = nil
        end(.unclear)
    }

    private func end(_ outcome: TestOutcome) {
        guard state != .over else { return }
        state = .over
        timer?.close()
        if let path = path.take() { path.end(on: links) }
        let told = completion
        completion = nil
        told?(outcome, duration)
    }
}
