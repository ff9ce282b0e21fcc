internal import CFlood
internal import Directory
internal import Link
internal import OnionCrypto
internal import Wire

/// Datagrams from many addresses: initiations, forged and real, and the first packets of links.
final class PacketFlood {
    private let plan: FloodPlan
    private let poller: CInt
    private var sockets: [CInt] = []
    private var ends: [Initiator?] = []
    private var ready: [[UInt8]] = []
    private var next = 0
    private var sent = 0
    private var answered = 0
    private var cookies = 0

    init(_ plan: FloodPlan) {
        self.plan = plan
        poller = flood_poller()
        guard let target = plan.target.address.v4 else { fail("the node's address is not of IPv4") }
        for number in 0..<plan.sources {
            let socket = flood_socket(plan.address(number), target, plan.target.port)
            guard socket >= 0 else { fail("no socket for source \(number)") }
            sockets.append(socket)
            if isReal, flood_watch(poller, socket, UInt32(number)) != 0 { fail("a socket cannot be watched") }
        }
        ends = Array(repeating: nil, count: plan.sources)
        if !isReal { ready = (0..<64).map { _ in forgery() } }
    }

    private var isReal: Bool { plan.kind == .initiations || plan.kind == .links }

    private func forgery() -> [UInt8] {
        let initiator = Initiator(plan, now: Instant(nanoseconds: flood_now()))
        guard var bytes = initiator.poll(Instant(nanoseconds: flood_now())) else { fail("no initiation") }
        if plan.kind == .garbage { bytes[bytes.count - 20] ^= 1 }
        return bytes
    }

    func run() {
        let start = flood_now()
        let end = start + UInt64(plan.seconds * 1e9)
        var pace = Pace(rate: plan.rate, now: start)
        var numbers = [UInt32](repeating: 0, count: 256)
        while true {
            let now = flood_now()
            guard now < end else { break }
            for _ in 0..<pace.take(now) { sendNext() }
            let count = unsafe flood_wait(poller, &numbers, CInt(numbers.count), 1)
            for number in numbers.prefix(Int(count)) { receive(Int(number)) }
        }
        let seconds = Double(flood_now() - start) / 1e9
        print(
            #"{"sent": \#(sent), "mbits": \#(Double(sent * plan.file.packetSize * 8) / seconds / 1e6), "#
                + #""answered": \#(answered), "cookies": \#(cookies), "#
                + #""cpu": \#(Double(flood_processor_time()) / 1e9 / seconds)}"#)
    }

    private func send(_ bytes: [UInt8], from number: Int) {
        sent += unsafe bytes.withUnsafeBytes { unsafe Int(flood_send(sockets[number], $0.baseAddress, $0.count)) }
    }

    private func sendNext() {
        next = (next + 1) % plan.sources
        guard isReal else { return send(ready[sent % ready.count], from: next) }
        let now = Instant(nanoseconds: flood_now())
        let end = ends[next] ?? Initiator(plan, now: now)
        ends[next] = end
        if let bytes = end.poll(now) { send(bytes, from: next) }
    }

    private func receive(_ number: Int) {
        var bytes = [UInt8](repeating: 0, count: 2_048)
        while true {
            let count = unsafe flood_receive(sockets[number], &bytes, bytes.count)
            guard count > 0 else { return }
            guard let end = ends[number] else { continue }
            switch end.receive(bytes.rawSpan.extracting(0..<count), confirms: plan.kind == .links) {
            case .nothing: break
            case .cookie: cookies += 1
            case .first(let packet):
                answered += 1
                if let packet { send(packet, from: number) }
            }
        }
    }
}

/// One source's handshakes with the node, one after the other, with the cookie that it got.
private final class Initiator {
    enum Answer {
        case nothing
        case cookie
        /// The handshake is done; the packet that confirms the link, if it was asked for.
        case first([UInt8]?)
    }

    private static let lifetime = TimeSpan.seconds(3_600)
    private var initiator: LinkInitiator
    private let packetSize: Int

    init(_ plan: FloodPlan, now: Instant) {
        var timing = LinkInitiator.Timing()
        timing.firstRetry = TimeSpan(nanoseconds: 1)
        timing.longestRetry = TimeSpan(nanoseconds: 1)
        timing.total = Self.lifetime
        packetSize = plan.file.packetSize
        guard
            let initiator = try? LinkInitiator(
                network: plan.network, responder: plan.node.key, identity: nil,
                localIndex: .random(in: 0x100...0xff_ffff), timing: timing, now: now)
        else { fail("no node has this id") }
        self.initiator = initiator
    }

    func poll(_ now: Instant) -> [UInt8]? {
        if case .send(let bytes) = initiator.poll(now: now, wallClock: 0) { bytes } else { nil }
    }

    func receive(_ datagram: RawSpan, confirms: Bool) -> Answer {
        let now = Instant(nanoseconds: flood_now())
        switch initiator.receive(datagram, now: now) {
        case .drop: return .nothing
        case .cookie: return .cookie
        case .established(let link):
            guard confirms else { return .first(nil) }
            var keyring = link.takeKeyring()
            var packet = [UInt8](repeating: 0, count: packetSize)
            packet[Packet.payloadOffset] = 1  // PING
            do {
                var bytes = packet.mutableRawSpan
                keyring.sealControl(&bytes, for: keyring.sendKey)
                let isSealed = LinkSender(keyring.sendKey, sole: true).sealHeader(&bytes)
                precondition(isSealed, "a new send key has counters")
            }
            return .first(packet)
        }
    }
}
