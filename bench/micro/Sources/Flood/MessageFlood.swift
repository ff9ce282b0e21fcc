internal import CFlood
internal import Directory
internal import EventLoop
internal import Glibc
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Registry
internal import Wire

/// Control messages at full speed, over a link from each of many addresses.
final class MessageFlood {
    private final class Source {
        let links: Links
        var link: LinkID?

        init(_ links: Links) { self.links = links }
    }

    private let plan: FloodPlan
    private let loop: Loop
    private var sources: [Source] = []
    private var onionKey: [UInt8] = []
    private let noMessages = NoMessages()
    private var ticks: LoopTimer?
    private var pace: Pace
    private var next = 0
    private var sent = 0
    /// How many packets may have been sent by now.
    private var allowed = 0
    private var answered = 0
    private var refused = 0
    private var start: UInt64 = 0
    private var counted: UInt64 = 0
    private var template: [UInt8] = []
    /// The builds whose answers are awaited; nobody looks at those.
    private var pathNumber: UInt64 = 0

    init(_ plan: FloodPlan) throws {
        self.plan = plan
        loop = try Loop()
        pace = Pace(rate: plan.rate, now: flood_now())
        for number in 0..<plan.sources {
            let own = SocketAddress(ipv4: plan.address(number), port: 0)
            var configuration = LinksConfiguration(network: plan.network, listen: [own], messages: [])
            configuration.maximumLinks = 4
            configuration.socket = .small
            configuration.socket.sendSlotCount = 4
            let links = try Links(on: loop, configuration: configuration, identity: nil)
            links.control = noMessages
            sources.append(Source(links))
        }
    }

    /// Makes the links, then sends until the time is over.
    func run() {
        ticks = LoopTimer(on: loop) { [unowned self] in tick() }
        for source in sources { connect(source) }
        begin()
        loop.run()
    }

    private func connect(_ source: Source) {
        source.links.link(to: plan.node, at: [plan.target]) { [unowned self, unowned source] result in
            guard case .success(let link) = result else { return connect(source) }
            source.link = link
            if onionKey.isEmpty { askForKey(source, link) }
        }
    }

    private func askForKey(_ source: Source, _ link: LinkID) {
        source.links.request(on: link, DirectoryMessage.getDescriptor, body: plan.node.key.array) {
            [unowned self] result in
            guard case .success(let body) = result, let signed = try? SignedDescriptor(decoding: body.rawSpan) else {
                return
            }
            onionKey = signed.descriptor.onionKey
        }
    }

    private func begin() {
        start = flood_now()
        allowed = packets
        tick()
    }

    /// The packets that all sources have sent.
    private var packets: Int { Int(clamping: sources.reduce(0) { $0 + $1.links.counters.packetsSent }) }

    private func tick() {
        let now = flood_now()
        guard now < start + UInt64(plan.seconds * 1e9) else { return end(now) }
        let due = pace.take(now)
        allowed += due
        // A message may take several packets, and some again.
        for _ in 0..<min(due, max(0, allowed - packets)) { sendNext() }
        ticks?.schedule(at: loop.now + 1_000_000)
    }

    private func end(_ now: UInt64) {
        let seconds = Double(now - start) / 1e9
        print(
            #"{"sent": \#(sent), "mbits": \#(Double(packets) * Double(plan.file.packetSize * 8) / seconds / 1e6), "#
                + #""answered": \#(answered), "refused": \#(refused), "#
                + #""links": \#(sources.count { $0.link != nil }), "#
                + #""cpu": \#(Double(flood_processor_time()) / 1e9 / seconds)}"#)
        fflush(nil)
        exit(0)
    }

    private func sendNext() {
        next = (next + 1) % sources.count
        let source = sources[next]
        guard let link = source.link else { return }
        guard source.links.peer(of: link) != nil else {
            source.link = nil
            return connect(source)
        }
        switch plan.kind {
        case .blocks: ask(source, link, LedgerMessage.getBlocks, [UInt8](repeating: 0, count: 8))
        case .operations: ask(source, link, LedgerMessage.submit, SecureRandom.bytes(2_260))
        case .builds: if let body = build(source) { ask(source, link, PathMessage.build, body) }
        case .replays:
            if template.isEmpty { template = build(source) ?? [] }
            if !template.isEmpty { ask(source, link, PathMessage.build, template) }
        case .garbage, .forged, .initiations, .links: break
        }
    }

    private func ask(_ source: Source, _ link: LinkID, _ message: some MessageFamily, _ body: [UInt8]) {
        source.links.request(on: link, message, body: body) { [unowned self] result in
            switch result {
            case .success: answered += 1
            case .failure(.limit): sent -= 1
            case .failure: refused += 1
            }
        }
        sent += 1
    }

    private func build(_ source: Source) -> [UInt8]? {
        guard !onionKey.isEmpty else { return nil }
        let target = HopTarget(node: plan.node.key, onionKey: onionKey, suite: .chacha20poly1305)
        guard let builder = try? PathBuilder(hops: [target], network: plan.file.id, time: source.links.time) else {
            return nil
        }
        pathNumber += 1
        return builder.message(
            pathID: PathID.make(
                worker: 0, index: PathID.clientBit, random: UInt32(truncatingIfNeeded: pathNumber)))
    }
}

/// Takes no message: its links only send.
private final class NoMessages: ControlHandler {
    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {}
    func linkUp(_ link: LinkID, peer: LinkPeer) {}
    func linkDown(_ link: LinkID, reason: LinkDownReason) {}
}
