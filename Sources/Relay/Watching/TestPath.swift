internal import EventLoop
internal import Links
internal import Onion
internal import Paths
internal import Watch
internal import Wire

/// A hop of a test, with its keys and addresses.
struct TestHop {
    let target: HopTarget
    let addresses: [Endpoint]
}

/// One test: a link to the first hop, a path over all hops, a packet to its end and back, and sometimes a burst.
///
/// It sends what a client sends: the same handshake, the same build, the same packets.
///
/// It has more members than most types: the arguments of the test, and the state of its steps.
final class TestPath {
    /// The longest time for a link to come up.
    static let linkLimit = TimeSpan.seconds(3)
    /// The longest wait for the answer to a build.
    ///
    /// A node answers within the time limits that it sets for its next hop, so a node that is silent for longer is
    /// itself at fault.
    static let buildLimit = PathService.linkLimit + PathService.answerLimit + .seconds(1)
    /// The longest wait for the answer to a packet.
    static let echoLimit = TimeSpan.seconds(3)
    /// The time after which an unanswered packet is followed by another one; it doubles each time.
    ///
    /// A packet may be lost, and a busy node may lose more.
    private static let firstRepeat = TimeSpan.milliseconds(100)
    /// The longest wait for the acknowledgements of a burst.
    private static let burstLimit = TimeSpan.seconds(3)

    private enum State {
        case linking, building, echo, burst, over
    }

    private let maker: PathMaker
    private var links: Links { maker.links }
    private let packetSize: Int
    private let hops: [TestHop]
    /// The index of the tested hop.
    private let place: Int
    private let wantsCapacity: Bool
    let pathID: UInt64
    private let began: Instant
    private var completion: ((TestOutcome, TimeSpan) -> Void)?
    private var state = State.linking
    private(set) var link: LinkID?
    /// The first hop, to which the test's link leads.
    var first: NodeID { NodeID(hops[0].target.node) }
    private var path: BuiltPath?
    private var timer: LoopTimer?
    /// The times at which packets that ask for an answer were sent, by their packet numbers from 0.
    private var echoes: [Instant] = []
    private var burst: Burst?
    private var roundTrip = TimeSpan.zero
    private var duration = TimeSpan.zero
    private var hasArrived = false

    /// A test of the hop at `place`.
    ///
    /// `completion` gets the outcome and the time until the answer.
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

    /// Begins to make the link and the path.
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
        case .linkFull: end(.unclear)
        // A node resets builds that exceed its rate.
        case .reset: end(place == 0 ? .refused : .unclear)
        case .refused(let hop, let status):
            if hop > place { return end(.passedOn) }
            guard hop == place else { return end(.unclear) }
            switch status {
            case .draining: end(.failed)
            // The node's answer about the next hop may be true.
            case .unknownNextHop, .nextHopUnreachable, .nextHopFailed: end(.unclear)
            // A busy node is not dead.
            case .ready, .overloaded, .suiteUnavailable, .timeInvalid: end(.refused)
            }
        // The hop before can alter the next hop's record in such a way that its own still verifies.
        case .broken(let hop): end(hop == 0 && place == 0 ? .failed : .unclear)
        }
    }

    // MARK: Packets

    /// Sends a packet that asks for an answer, and sets the timer for the next one or for the end of the wait.
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

    /// Sends one packet with a hello, a ping and padding to the terminal; returns false if it could not be sent.
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

    /// Takes a packet that came back; returns false if its layers do not verify.
    func received(_ packet: inout MutableRawSpan) -> Bool {
        guard state != .over, case .packet = path?.layers.open(&packet, now: links.now) else { return false }
        var reader = FrameReader(packet.bytes.extracting(droppingFirst: Packet.payloadOffset))
        // Reading stops at the first unreadable frame, so an acknowledgement after it does not count.
        while let frame = try? reader.next() {
            if case .ack(let ack) = frame { acknowledged(ack) }
        }
        return true
    }

    /// Handles an acknowledgement.
    ///
    /// Packet numbers begin with the path's first packet; every packet asks for an answer.
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

    /// Notes that the awaited answer has come; it is handled after the batch of packets.
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

    /// Sends the packets of the burst that are due, and sets the timer for the next ones or for the end of the wait.
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

    /// To be called when the link or the path has ended.
    func lost() {
        if state == .echo || state == .burst { silent() }
    }

    /// Ends the test of a path that was built but carries nothing.
    ///
    /// Any of its hops may be at fault, so the result is only certain for a single hop.
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
