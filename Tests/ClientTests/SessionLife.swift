// One file: the parties of the model share private state.

import Link
import Transport
import Wire

@testable import Client

/// The life of a session between a client and an exit over two guards and three middles.
///
/// The seed decides which of them pause or die, and how slow the network is. `Connection`, `LegWatch`, `LegLosses`,
/// `LeglessTime` and `Liveness` are the real ones. The rest models `ClientSession`, `Exit` and the control messages of
/// links: a path ends at a node with its link, and the node tells the neighbour on the other side.
///
/// It has more members than most types: all parties of a session, the network, and what was seen.
final class SessionLife {
    /// An expectation that did not hold.
    struct Broken: Error, CustomStringConvertible { let description: String }

    enum Body {
        case hello, welcome, ping, pong
        case build(Int), built(Int), refused(Int, hop: Int), destroy(Int)
        case packet(Int, number: UInt64, [UInt8])
    }

    struct Message {
        let from: Int
        let link: Int
        let body: Body
    }

    /// A node's end of a link.
    struct Link {
        let peer: Int
        var liveness: Liveness
        var isUp: Bool
        let since: Instant
    }

    final class Node {
        var isDead = false
        var pausedUntil = Instant(nanoseconds: 0)
        /// The messages that wait at its socket.
        var inbox: [Message] = []
        var links: [Int: Link] = [:]
        var paths: [Int: (previous: Int?, next: Int?)] = [:]
        /// Builds that wait for a link to a neighbour.
        var waiting: [Int: [Int]] = [:]
        /// Builds that wait for their answer, and the link over which they were sent on.
        var asked: [Int: Int] = [:]
    }

    /// One end of the session, with the number of bytes that it has written and read.
    final class End {
        var connection: Connection
        var numbers: [LegID: UInt64] = [:]
        var stream: StreamID?
        var written = 0
        var read = 0
        /// The time since which none of its pending bytes have arrived; nil if none are pending.
        private(set) var pendingSince: Instant?
        private var arrived = 0

        /// Updates ``pendingSince``: the other end has read `read` of the `written` bytes.
        func note(written: Int, read: Int, at now: Instant) {
            if written <= read {
                pendingSince = nil
            } else if pendingSince == nil || read > arrived {
                pendingSince = now
            }
            arrived = read
        }

        init(_ role: ConnectionRole, seed: UInt64) { connection = Connection(role: role, seed: seed) }
    }

    static let step = TimeSpan.milliseconds(20)
    static let muteLimit = TimeSpan.seconds(10)
    static let client = 0, guards = [1, 2], middles = [3, 4, 5], exit = 6

    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private var random: UInt64
    let nodes = (0..<7).map { _ in Node() }
    private var hops: [[Int]] = []
    private var nextLink = 0
    private var flights: [(time: Instant, to: Int, message: Message)] = []
    private var delay: TimeSpan = .zero
    /// The moment at which the last disturbance is over.
    private var disturbed: Instant
    /// The disturbances to come, by the time since the first session began.
    private var disturbances: [(at: TimeSpan, node: Int, pause: TimeSpan?)] = []
    private var began: Instant?

    // The client's session.
    private var near: End?
    private var legs: [LegID: Int] = [:]
    private var session = 0
    private var watch = LegWatch()
    private var losses = LegLosses()
    private var nextLeg: UInt8 = 0
    private var builds: [Int: Instant] = [:]
    private var failures = 0
    /// Hops that did not answer; they are tried last.
    private var suspects: Set<Int> = []
    private var nextBuild = Instant(nanoseconds: 0), nextKeep = Instant(nanoseconds: 0)
    private var legless = LeglessTime()
    private(set) var sessions = 0

    // The exit's sessions.
    private var far: [Int: End] = [:]
    private var exitLegs: [Int: (session: Int, leg: LegID)] = [:]

    init(seed: UInt64) {
        random = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        disturbed = now
        delay = .milliseconds([1, 15, 40][below(3)])
        for _ in 0...below(3) {
            // Most disturbances fall in the time in which the first legs are joined and chosen.
            let at = TimeSpan.milliseconds(Int64(below(below(3) == 0 ? 6_000 : 600)))
            let isDeath = below(6) == 0
            let node = isDeath ? 1 + below(6) : below(3) == 0 ? Self.client : below(7)
            let pause = TimeSpan.milliseconds(Int64(below(below(2) == 0 ? 3_500 : 9_000)))
            disturbances.append((at, node, isDeath ? nil : pause))
        }
    }

    /// A number below `bound`.
    func below(_ bound: Int) -> Int {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return Int((random &* 0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    // MARK: The run

    /// Runs until the last disturbance has been over for long enough; throws if a session is mute for too long.
    func run() throws(Broken) {
        var nextWrite = [now, now + .milliseconds(Int64(below(2_000)))]
        while !disturbances.isEmpty || now - disturbed < Self.muteLimit + .seconds(1) {
            now = now + Self.step
            if sessions > 0, began == nil { began = now }
            disturbances.removeAll { disturbance in
                guard let began, now - began >= disturbance.at else { return false }
                disturb(disturbance.node, disturbance.pause)
                return true
            }
            deliver()
            for (number, node) in nodes.enumerated() where !node.isDead && node.pausedUntil <= now {
                let messages = node.inbox
                node.inbox = []
                for message in messages { receive(message, at: number) }
                tick(number)
            }
            if isRunning(Self.client) { runClient(&nextWrite[0]) }
            if isRunning(Self.exit) { runExit(&nextWrite[1]) }
            try check()
        }
    }

    private func disturb(_ node: Int, _ pause: TimeSpan?) {
        if let pause {
            nodes[node].pausedUntil = max(nodes[node].pausedUntil, now + pause)
        } else {
            kill(node)
        }
        disturbed = max(disturbed, now + (pause ?? .zero))
    }

    private func isRunning(_ node: Int) -> Bool { !nodes[node].isDead && nodes[node].pausedUntil <= now }

    private func kill(_ node: Int) {
        nodes[node].isDead = true
        nodes[node].inbox = []
        if node == Self.exit {
            far = [:]
            exitLegs = [:]
        }
    }

    /// Throws if bytes that were written do not arrive although the session lives.
    private func check() throws(Broken) {
        guard let near else { return }
        // Without a live guard and a live middle no path can be built.
        let hasWay = [Self.guards, Self.middles].allSatisfy { $0.contains { !nodes[$0].isDead } }
        guard isRunning(Self.client), hasWay, !nodes[Self.exit].isDead else { return }
        // The exit has the session once a packet has arrived.
        let other = far[session]
        near.note(written: near.written, read: other?.read ?? 0, at: now)
        other?.note(written: other?.written ?? 0, read: near.read, at: now)
        guard let since = [near.pendingSince, other?.pendingSince].compactMap({ $0 }).min() else { return }
        if now - max(since, disturbed) > Self.muteLimit {
            throw Broken(
                description:
                    "mute: client \(near.connection.activeLeg?.value ?? 255) of \(legs.keys.map(\.value)), exit "
                    + "\(other?.connection.activeLeg?.value ?? 255), \(now.nanoseconds / 1_000_000) ms")
        }
    }

    // MARK: Links

    private func send(_ body: Body, from: Int, link: Int, to: Int) {
        let late = TimeSpan.microseconds(Int64(below(2_000)))
        flights.append((now + delay + late, to, Message(from: from, link: link, body: body)))
    }

    private func deliver() {
        var rest: [(time: Instant, to: Int, message: Message)] = []
        for flight in flights {
            if flight.time > now {
                rest.append(flight)
            } else if !nodes[flight.to].isDead {
                nodes[flight.to].inbox.append(flight.message)
            }
        }
        flights = rest
    }

    /// Sends over a link that is up; after any message but a pong, the link's liveness waits for an answer.
    private func send(_ body: Body, from node: Int, over id: Int) {
        guard let link = nodes[node].links[id], link.isUp else { return }
        if case .pong = body {} else { nodes[node].links[id]?.liveness.sent(now: now) }
        send(body, from: node, link: id, to: link.peer)
    }

    /// The link to `peer`; a new one if there is none.
    private func link(from node: Int, to peer: Int) -> (id: Int, isUp: Bool) {
        if let (id, link) = nodes[node].links.filter({ $0.value.peer == peer }).max(by: { $0.key < $1.key }) {
            return (id, link.isUp)
        }
        nextLink += 1
        nodes[node].links[nextLink] = Link(peer: peer, liveness: Liveness(now: now), isUp: false, since: now)
        send(.hello, from: node, link: nextLink, to: peer)
        return (nextLink, false)
    }

    /// Runs the timers of a node's links.
    private func tick(_ node: Int) {
        for id in nodes[node].links.keys.sorted() {
            guard let link = nodes[node].links[id] else { continue }
            if !link.isUp {
                // A link repeats its initiation until its handshake times out.
                if now - link.since > .seconds(3) { drop(id, at: node) }
                continue
            }
            guard link.liveness.nextDeadline <= now else { continue }
            switch nodes[node].links[id]?.liveness.tick(now: now) {
            case .ping, .pingAgain: send(.ping, from: node, link: id, to: link.peer)
            case .dead: drop(id, at: node)
            case nil, .some(.none): break
            }
        }
    }

    private func drop(_ id: Int, at node: Int) {
        guard let link = nodes[node].links.removeValue(forKey: id) else { return }
        for path in nodes[node].waiting.removeValue(forKey: link.peer) ?? [] { refuse(path, at: node) }
        for path in nodes[node].asked.filter({ $0.value == id }).keys.sorted() { unanswered(path, at: node) }
        let ended = nodes[node].paths.filter { $0.value.previous == id || $0.value.next == id }.keys.sorted()
        for path in ended { end(path, at: node, except: id, isLinkLost: true) }
    }

    private func receive(_ message: Message, at number: Int) {
        let node = nodes[number]
        if case .hello = message.body {
            node.links[message.link] = Link(
                peer: message.from, liveness: Liveness(now: now), isUp: true, since: now)
            return send(.welcome, from: number, over: message.link)
        }
        guard node.links[message.link] != nil else { return }
        node.links[message.link]?.liveness.received(now: now)
        switch message.body {
        case .hello, .pong: break
        case .welcome:
            node.links[message.link]?.isUp = true
            for path in node.waiting.removeValue(forKey: message.from) ?? [] { passBuild(path, at: number) }
        case .ping: send(.pong, from: number, over: message.link)
        case .build(let path):
            node.paths[path] = (message.link, nil)
            guard number == Self.exit else { return passBuild(path, at: number) }
            send(.built(path), from: number, over: message.link)
        case .built(let path):
            guard let view = node.paths[path] else { return send(.destroy(path), from: number, over: message.link) }
            node.paths[path] = (view.previous, message.link)
            node.asked[path] = nil
            if number == Self.client {
                built(path)
            } else if let link = view.previous {
                send(.built(path), from: number, over: link)
            }
        case .refused(let path, let hop):
            node.asked[path] = nil
            guard let view = node.paths.removeValue(forKey: path) else { return }
            if number == Self.client {
                failed(path, hop: hop)
            } else if let link = view.previous {
                send(.refused(path, hop: hop), from: number, over: link)
            }
        case .destroy(let path): end(path, at: number, except: message.link, isLinkLost: false)
        case .packet(let path, let packet, let bytes):
            guard let view = node.paths[path] else { return }
            if number == Self.client {
                receivedNear(path, packet, bytes)
            } else if number == Self.exit {
                receivedFar(path, packet, bytes)
            } else if let link = message.link == view.previous ? view.next : view.previous {
                send(message.body, from: number, over: link)
            }
        }
    }

    // MARK: Paths

    private func passBuild(_ path: Int, at node: Int) {
        guard nodes[node].paths[path] != nil else { return }
        let place = node == Self.client ? 0 : (hops[path].firstIndex(of: node) ?? 0) + 1
        let peer = hops[path][place]
        let (id, isUp) = link(from: node, to: peer)
        if isUp {
            nodes[node].asked[path] = id
            send(.build(path), from: node, over: id)
        } else {
            nodes[node].waiting[peer, default: []].append(path)
        }
    }

    private func refuse(_ path: Int, at node: Int) {
        guard let view = nodes[node].paths.removeValue(forKey: path) else { return }
        let hop = hops[path].firstIndex(of: node) ?? -1
        if node == Self.client {
            failed(path, hop: -1)
        } else if let link = view.previous {
            send(.refused(path, hop: hop), from: node, over: link)
        }
    }

    /// A build's link was lost before the answer came, or the client has waited long enough.
    ///
    /// A hop reports that the next hop failed. The client learns of no hop that failed.
    private func unanswered(_ path: Int, at node: Int) {
        nodes[node].asked[path] = nil
        guard node == Self.client else { return refuse(path, at: node) }
        nodes[node].paths[path] = nil
        failed(path, hop: nil)
    }

    private func end(_ path: Int, at node: Int, except link: Int?, isLinkLost: Bool) {
        nodes[node].asked[path] = nil
        guard let view = nodes[node].paths.removeValue(forKey: path) else { return }
        for other in [view.previous, view.next].compactMap({ $0 }) where other != link {
            send(.destroy(path), from: node, over: other)
        }
        if node == Self.client { died(path, isLinkLost: isLinkLost) }
        if node == Self.exit { exitPathEnded(path) }
    }

    // MARK: The client

    private func build(avoiding: [Int]) {
        func choose(_ from: [Int]) -> Int {
            let good = from.filter { !suspects.contains($0) }
            let fresh = (good.isEmpty ? from : good).filter { !avoiding.contains($0) }
            if fresh.isEmpty, !good.isEmpty { return good[below(good.count)] }
            return fresh.isEmpty ? from[below(from.count)] : fresh[below(fresh.count)]
        }
        let path = hops.count
        hops.append([choose(Self.guards), choose(Self.middles), Self.exit])
        nodes[Self.client].paths[path] = (nil, nil)
        builds[path] = now
        passBuild(path, at: Self.client)
    }

    private func built(_ path: Int) {
        guard builds.removeValue(forKey: path) != nil else { return }
        failures = 0
        suspects.subtract(hops[path])
        if near == nil {
            sessions += 1
            session = sessions
            near = End(.initiator, seed: random)
            (legs, watch, losses, nextLeg, legless) = ([:], LegWatch(), LegLosses(), 0, LeglessTime())
        }
        let leg = LegID(nextLeg)
        let id = [UInt8](repeating: UInt8(session & 255), count: 16)
        let hello = LegHello(leg: nextLeg, kind: nextLeg == 0 ? .newSession : .join(session: id, mac: id))
        nextLeg &+= 1
        guard near?.connection.addLeg(leg, payloadSize: 512, preamble: hello.encoded, now: now) == true else {
            return end(path, at: Self.client, except: nil, isLinkLost: false)
        }
        legs[leg] = path
        if near?.connection.activeLeg == nil { near?.connection.activate(leg, now: now) }
        leaveSuspect()
        near?.connection.ping(leg)
        legless.ended()
    }

    /// A build failed after the hop with this number (-1: the client), or without an answer (nil).
    private func failed(_ path: Int, hop: Int?) {
        builds[path] = nil
        failures += 1
        if hop != 1 { suspects.insert(hops[path][(hop ?? 0) + 1]) }
        nextBuild = now + PathPool.pause(after: failures)
        guard near != nil, let hop else { return }
        if hop == 1 {
            legless.exitFailed()
        } else if hop < 0 {
            legless.heldUp(at: now)
        } else {
            legless.othersFailed(at: now)
        }
    }

    private func died(_ path: Int, isLinkLost: Bool) {
        builds[path] = nil
        guard let leg = legs.first(where: { $0.value == path })?.key else { return }
        legs[leg] = nil
        watch.remove(leg)
        let wasActive = near?.connection.activeLeg == leg
        let wasAnswered = near?.connection.legStatus(leg)?.everAcknowledged ?? false
        near?.connection.removeLeg(leg, now: now)
        if !isLinkLost { losses.lost(middle: nil, over: Self.id(hops[path][0]), at: now) }
        if wasActive, let other = legIDs.first { near?.connection.activate(other, now: now) }
        leaveSuspect()
        if legs.isEmpty { legless.began(wasAnswered: wasAnswered, at: now) }
    }

    private static func id(_ number: Int) -> NodeID {
        NodeID(Bytes32(copying: ([UInt8](repeating: 3, count: 31) + [UInt8(number)]).rawSpan))
    }

    private var legIDs: [LegID] { legs.keys.sorted { $0.value < $1.value } }

    private func leaveSuspect() {
        guard let other = watch.replacement(for: near?.connection.activeLeg, among: legIDs) else { return }
        near?.connection.activate(other, now: now)
    }

    private func endSession() {
        near = nil
        for path in legs.values.sorted() { end(path, at: Self.client, except: nil, isLinkLost: false) }
        legs = [:]
    }

    private func keep() {
        for path in builds.keys.sorted() {
            guard let since = builds[path], now - since > .seconds(10) else { continue }
            unanswered(path, at: Self.client)
        }
        guard near != nil else {
            if builds.isEmpty, now >= nextBuild { build(avoiding: []) }
            return
        }
        if legless.isOver(at: now) { return endSession() }
        if losses.isOver(at: now) { return endSession() }
        let overdue = watch.overdue(at: now, among: legIDs) {
            near?.connection.legStatus($0)?.everAcknowledged ?? false
        }
        if let overdue, let path = legs[overdue] { return end(path, at: Self.client, except: nil, isLinkLost: false) }
        guard legs.count < 2, builds.count < (legs.isEmpty ? 2 : 1), now >= nextBuild,
            losses.mayBuild(isLegless: legs.isEmpty, at: now)
        else { return }
        build(avoiding: (legs.values.sorted() + builds.keys.sorted()).flatMap { hops[$0] })
    }

    private func runClient(_ nextWrite: inout Instant) {
        if now >= nextKeep {
            nextKeep = now + .milliseconds(200)
            keep()
        }
        guard let end = near else { return }
        if now >= nextWrite {
            nextWrite = now + .milliseconds(Int64(below(below(3) == 0 ? 6_000 : 300)))
            if end.stream == nil { end.stream = try? end.connection.openStream() }
            if let stream = end.stream {
                let bytes = [UInt8](repeating: 1, count: 1 + below(3_000))
                end.written += end.connection.write(stream, bytes.rawSpan)
            }
        }
        if let deadline = end.connection.nextDeadline, deadline <= now { end.connection.deadlineReached(now: now) }
        var suspects: [LegID] = []
        while let event = end.connection.nextEvent() {
            switch event {
            case .legSuspect(let leg): suspects.append(leg)
            case .legValidated: legless.answered()
            case .readable(let id): end.read += end.connection.withReadable(id) { $0.byteCount }
            default: break
            }
        }
        for leg in suspects {
            watch.suspect(leg, at: now)
            end.connection.ping(leg)
            leaveSuspect()
        }
        for leg in legIDs {
            guard let path = legs[leg], let link = nodes[Self.client].paths[path]?.next else { continue }
            transmit(end, leg, path, link, from: Self.client)
        }
    }

    private func receivedNear(_ path: Int, _ number: UInt64, _ bytes: [UInt8]) {
        guard let leg = legs.first(where: { $0.value == path })?.key else { return }
        _ = near?.connection.receive(leg: leg, packetNumber: number, payload: bytes.rawSpan, now: now)
        if watch.answered(leg) { leaveSuspect() }
    }

    // MARK: The exit

    private func receivedFar(_ path: Int, _ number: UInt64, _ bytes: [UInt8]) {
        if exitLegs[path] == nil {
            guard let hello = (try? LegHello.first(of: bytes.rawSpan)) ?? nil else { return }
            let id: Int
            switch hello.kind {
            case .newSession:
                id = session
                if far[id] == nil { far[id] = End(.responder, seed: random) }
            case .join(let session, _): id = Int(session[0])
            }
            guard far[id] != nil else { return end(path, at: Self.exit, except: nil, isLinkLost: false) }
            guard far[id]?.connection.addLeg(LegID(hello.leg), payloadSize: 512, now: now) == true else { return }
            exitLegs[path] = (id, LegID(hello.leg))
        }
        guard let (id, leg) = exitLegs[path] else { return }
        _ = far[id]?.connection.receive(leg: leg, packetNumber: number, payload: bytes.rawSpan, now: now)
    }

    private func exitPathEnded(_ path: Int) {
        guard let (id, leg) = exitLegs.removeValue(forKey: path) else { return }
        far[id]?.connection.removeLeg(leg, now: now)
    }

    private func runExit(_ nextWrite: inout Instant) {
        let writes = now >= nextWrite
        if writes { nextWrite = now + .milliseconds(Int64(below(below(2) == 0 ? 8_000 : 500))) }
        for id in far.keys.sorted() {
            guard let end = far[id] else { continue }
            if let deadline = end.connection.nextDeadline, deadline <= now { end.connection.deadlineReached(now: now) }
            while let event = end.connection.nextEvent() {
                switch event {
                case .streamOpened(let id): end.stream = id
                case .readable(let id): end.read += end.connection.withReadable(id) { $0.byteCount }
                case .legClosed(let leg):
                    if let path = exitLegs.first(where: { $0.value == (id, leg) })?.key {
                        exitLegs[path] = nil
                        self.end(path, at: Self.exit, except: nil, isLinkLost: false)
                    }
                default: break
                }
            }
            if writes, let stream = end.stream {
                end.written += end.connection.write(stream, [UInt8](repeating: 2, count: 1 + below(6_000)).rawSpan)
            }
            for path in exitLegs.keys.sorted() {
                guard let leg = exitLegs[path], leg.session == id else { continue }
                guard let link = nodes[Self.exit].paths[path]?.previous else { continue }
                transmit(end, leg.leg, path, link, from: Self.exit)
            }
        }
    }

    private func transmit(_ end: End, _ leg: LegID, _ path: Int, _ link: Int, from node: Int) {
        while end.connection.wantsToSend(leg: leg, now: now) {
            var bytes = [UInt8](repeating: 0, count: 512)
            var span = bytes.mutableSpan
            var payload = unsafe span.mutableBytes
            let number = end.numbers[leg] ?? 0
            guard end.connection.writePacket(leg: leg, packetNumber: number, into: &payload, now: now) else { return }
            end.numbers[leg] = number + 1
            send(.packet(path, number: number, bytes), from: node, over: link)
        }
    }
}
