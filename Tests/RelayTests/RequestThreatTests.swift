import Directory
import EventLoop
import Links
import LoopTesting
import OnionCrypto
import Requests
import Sessions
import Testing
import Transport
import Wire

@testable import Client
@testable import Relay

/// Hostile sessions, proxies and targets among whole relays.
@Suite struct RequestThreatTests {
    /// Sends `count` requests for `target` over a session at once; `told` is called for each answer.
    private func flood(
        _ bench: RequestBench, _ session: RequestSession, of count: Int, for target: Relay,
        told: @escaping (OuterStatus?) -> Void
    ) throws {
        // The requests are valid, so the target has to open each of them.
        for _ in 0..<count {
            let open = RequestOpen.envelope(try bench.seal(for: target).envelope, to: target.node)
            try bench.send(open.encoded(), on: session) { bytes in told(bytes?.first.flatMap(OuterStatus.init)) }
        }
    }

    /// Ends the links between two relays, which cannot begin another link for some seconds.
    ///
    /// Both relays have as many handshakes under way as they may, with addresses that do not answer. `failed` is called
    /// 512 times, when these handshakes are given up.
    private func part(_ bench: RequestBench, _ one: Relay, _ other: Relay, failed: @escaping () -> Void) {
        let nowhere = Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 9)
        for relay in [one, other] {
            for _ in 0..<256 { relay.links.link(to: NodeID(SigningKey().publicKey), at: [nowhere]) { _ in failed() } }
        }
        bench.run(for: .milliseconds(50))
        for _ in 0..<4 {
            if let link = one.links.existingLink(to: other.node) { one.links.close(link) }
            if let link = other.links.existingLink(to: one.node) { other.links.close(link) }
            bench.run(for: .milliseconds(100))
        }
        #expect(one.links.existingLink(to: other.node) == nil && other.links.existingLink(to: one.node) == nil)
    }

    @Test("RQ3: a session that floods a target over a proxy costs itself: another session there is served")
    func rq3OneSession() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target) = (bench.relays[0], bench.relays[1])
        let (hostile, honest) = (try bench.session(to: proxy), try bench.session(to: proxy))
        var told: [OuterStatus?] = []
        try flood(bench, hostile, of: 120, for: target) { told.append($0) }
        for _ in 0..<5 {
            #expect(try bench.ask(target, on: honest)?.status == .answer)
        }
        #expect(bench.run { told.count == 120 })
        // 60 at once and 16 pending. The proxy turns the rest away, and the target does not receive them.
        #expect(told.count { $0 == .tooMany } >= 60 && told.allSatisfy { $0 == .tooMany || $0 == .answer })
        #expect(target.status.requests.received <= 75 && target.status.requests.busy == 0)
    }

    @Test("RQ3: 12 sessions that flood a target over one proxy: another session there is served at once, by its turn")
    func rq3ManySessions() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target) = (bench.relays[0], bench.relays[1])
        let meddler = try Meddler(target)
        let honest = try bench.session(to: proxy)
        let hostile = try (0..<12).map { _ in try bench.session(to: proxy) }
        var told = 0
        for session in hostile { try flood(bench, session, of: 16, for: target) { _ in told += 1 } }
        for _ in 0..<10 {
            let began = bench.pool.now
            #expect(try bench.ask(target, on: honest)?.status == .answer)
            #expect(bench.pool.now - began < .seconds(2))
        }
        #expect(bench.run { told == 12 * 16 })
        // The proxy keeps within the target's limits, so the target turns no request away.
        #expect(target.status.requests.busy == 0 && meddler.forwards.count == 12 * 16 + 10)
        #expect(bench.relays.allSatisfy { $0.status.requests.pending == 0 })
    }

    @Test("RQ4: a silent target: the request ends, the proxy forgets it, and goes on to serve others")
    func rq4Silent() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let target = bench.relays[1]
        let meddler = try Meddler(target)
        meddler.manner = .silent
        #expect(bench.state(of: target) == .failure(.noAnswer(hint: nil)))
        #expect(meddler.forwards.count > 1, "it was asked over another proxy too")
        #expect(Set(meddler.forwards.map(\.from)).count == meddler.forwards.count)
        // The client gives up before the proxies do.
        bench.run(for: .seconds(13))
        #expect(bench.relays.allSatisfy { $0.status.requests.pending == 0 })
        for relay in bench.relays where relay !== target {
            _ = try #require(bench.state(of: relay)).get()
        }
    }

    @Test("RQ4: sessions that fill a proxy's places at a silent target leave others theirs at honest ones")
    func rq4SilentFlood() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, silent, honest) = (bench.relays[0], bench.relays[1], bench.relays[2])
        let meddler = try Meddler(silent)
        meddler.manner = .silent
        let hostile = try (0..<6).map { _ in try bench.session(to: proxy) }
        let own = try bench.session(to: proxy)
        var told: [OuterStatus?] = []
        for session in hostile { try flood(bench, session, of: 16, for: silent) { told.append($0) } }
        bench.run(for: .seconds(1))
        #expect(meddler.forwards.count == RequestLimits.unanswered)
        #expect(try bench.ask(honest, on: own)?.status == .answer)
        bench.run(for: .seconds(20)) { told.count == 6 * 16 }
        #expect(told.count { $0 == .noAnswer } == 32 && told.count { $0 == .tooMany } == 64)
        #expect(proxy.status.requests.pending == 0)
    }

    @Test("RQ2: a target that answers with anything else brings no answer, and its proxy forgets the request")
    func rq2Lies() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target) = (bench.relays[0], bench.relays[1])
        let meddler = try Meddler(target)
        let session = try bench.session(to: proxy)
        let sealed = [UInt8](repeating: 7, count: RequestClass.bytes1024.answerSize)
        for bytes: [UInt8] in [[], [9], [0], [2], [4], [5], [6], [7], [0] + sealed + [1], [3], [3, 1, 1], [8, 8]] {
            meddler.manner = .lies(bytes)
            #expect(try bench.ask(target, on: session) == .noAnswer, "\(bytes.prefix(2))")
        }
        // Bytes with the form of an answer go to the client, which cannot open them.
        meddler.manner = .lies([0] + sealed)
        #expect(try bench.ask(target, on: session) == .answer(sealed))
        #expect(proxy.status.requests.pending == 0)
        #expect(bench.state(of: target) == .failure(.noAnswer(hint: nil)))
        // Proxies with two failures in a row are left out for ten minutes, and are asked again afterwards.
        _ = bench.state(of: target)
        meddler.manner = .honest
        bench.run(for: .seconds(601))
        _ = try #require(bench.state(of: target)).get()
    }

    @Test("RQ6: ANSWER counts from the node that was asked, for its request, once, and in time")
    func rq6Answers() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target, stranger) = (bench.relays[0], bench.relays[1], bench.relays[2])
        let meddler = try Meddler(target)
        meddler.manner = .lies(OuterAnswer.later.encoded(for: .forward))
        let session = try bench.session(to: proxy)
        var told: [[UInt8]?] = []
        func ask() throws -> ForwardMessage {
            let before = meddler.forwards.count
            let open = RequestOpen.envelope(try bench.seal(for: target).envelope, to: target.node)
            try bench.send(open.encoded(), on: session) { told.append($0) }
            bench.run { meddler.forwards.count > before }
            let body = try #require(meddler.forwards.last).body
            return try ForwardMessage(decoding: body.rawSpan)
        }
        func answer(_ id: UInt64, from relay: Relay) throws {
            let link = try #require(relay.links.existingLink(to: proxy.node))
            let sealed = [UInt8](repeating: 7, count: RequestClass.bytes1024.answerSize)
            let body = AnswerMessage(id: id, answer: .answer(sealed)).encoded()
            relay.links.send(on: link, RequestMessage.answer, body: body)
            bench.run(for: .seconds(1))
        }
        let first = try ask()
        // The proxy also has a link to the stranger.
        _ = try bench.ask(stranger, on: session)
        try answer(first.id, from: stranger)
        try answer(first.id ^ 1, from: target)
        #expect(told.isEmpty)
        try answer(first.id, from: target)
        #expect(told.count == 1 && told[0]?.first == OuterStatus.answer.rawValue)
        try answer(first.id, from: target)
        #expect(told.count == 1)
        let second = try ask()
        bench.run(for: .seconds(13)) { told.count == 2 }
        #expect(told[1] == OuterAnswer.noAnswer.encoded(for: .stream))
        try answer(second.id, from: target)
        #expect(told.count == 2 && proxy.status.requests.pending == 0)
    }

    @Test("RQ1: a FORWARD that a proxy, or another node, repeats gets no answer of the target's again")
    func rq1Replay() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target, other) = (bench.relays[0], bench.relays[1], bench.relays[2])
        let meddler = try Meddler(target)
        let session = try bench.session(to: proxy)
        #expect(try bench.ask(target, on: session)?.status == .answer)
        let body = try #require(meddler.forwards.first).body
        var elapsed = TimeSpan.zero
        for pause in [TimeSpan.zero, .seconds(240), .seconds(480)] {
            bench.run(for: pause)
            elapsed = elapsed + pause
            for relay in [proxy, other] {
                var link: LinkID?
                relay.links.link(to: target.node, at: target.listenAddresses, limit: .seconds(3)) { link = $0 }
                bench.run { link != nil }
                var reply: Result<[UInt8], ControlFailure>?
                relay.links.request(on: try #require(link), RequestMessage.forward, body: body) { reply = $0 }
                bench.run { reply != nil }
                let bytes = try #require(try? reply?.get())
                let outer = try OuterAnswer(decoding: bytes.rawSpan, at: .forward)
                // After the envelope's time, only its sender learns that the time is over.
                #expect(outer.status == .unreadable || elapsed == .seconds(720))
            }
        }
        #expect(target.status.requests.answeredHere == 1)
    }

    @Test("RQ4: a proxy that dies while it waits: the client asks over another one")
    func rq4ProxyDies() throws {
        let bench = try RequestBench(relays: 8)
        defer { bench.close() }
        let target = bench.relays[1]
        let meddler = try Meddler(target)
        meddler.manner = .silent
        var result: Result<NodeStateAnswer, NodeStateFailure>?
        bench.client.requestState(of: target.node) { result = $0 }
        bench.run { meddler.forwards.count == 1 }
        let proxy = try #require(meddler.forwards.first).from
        meddler.manner = .honest
        bench.relays.first { $0.node == proxy }?.close {}
        bench.run(for: .seconds(11)) { result != nil }
        _ = try #require(result).get()
        #expect(meddler.forwards.count > 1 && meddler.forwards.last?.from != proxy)
    }

    @Test("RQ4: a target that is gone costs the request, 3 s of one handshake, and nothing else")
    func rq4Gone() throws {
        let bench = try RequestBench(relays: 7)
        defer { bench.close() }
        let proxy = bench.relays[0]
        let session = try bench.session(to: proxy)
        let others = bench.relays.filter { !bench.hops.contains($0.node) }
        let (target, other) = (others[0], others[1])
        target.close {}
        bench.run(for: .seconds(2))
        #expect(proxy.links.existingLink(to: target.node) == nil)
        let began = bench.pool.now
        #expect(try bench.ask(target, on: session) == .noLink)
        #expect(bench.pool.now - began < .seconds(4))
        // The proxy remembers the failure for some time.
        let again = bench.pool.now
        #expect(try bench.ask(target, on: session) == .noLink)
        #expect(bench.pool.now - again < .seconds(1))
        #expect(try bench.ask(other, on: session)?.status == .answer)
        guard case .failure = bench.state(of: target) else { throw Unexpected() }
    }

    @Test("RQ4: handshakes of strangers that fill the proxy's allowance do not make a target rest")
    func rq4OwnLimit() throws {
        let bench = try RequestBench(relays: 7)
        defer { bench.close() }
        let proxy = bench.relays[0]
        let session = try bench.session(to: proxy)
        let others = bench.relays.filter { !bench.hops.contains($0.node) }
        let target = try #require(others.first)
        var failed = 0
        part(bench, proxy, target) { failed += 1 }
        #expect(try bench.ask(target, on: session) == .tooMany)
        #expect(bench.run { failed == 512 })
        #expect(try bench.ask(target, on: session)?.status == .answer)
    }

    @Test("RQ4: requests that never end hold so many bytes of a session; the streams beyond are reset and counted")
    func rq4Unfinished() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target) = (bench.relays[0], bench.relays[1])
        let (hostile, honest) = (try bench.session(to: proxy), try bench.session(to: proxy))
        let sealed = try bench.seal(for: target, padding: .bytes65792)
        let bytes = RequestOpen.envelope(sealed.envelope, to: target.node).encoded()
        var unsent = try (0..<24).map { _ in (id: try hostile.session.connection.openStream(), sent: 0) }
        bench.run(for: .seconds(20)) {
            for place in unsent.indices where unsent[place].sent < bytes.count {
                let rest = bytes.rawSpan.extracting(unsent[place].sent..<bytes.count)
                unsent[place].sent += hostile.session.connection.write(unsent[place].id, rest)
            }
            hostile.session.touch()
            return proxy.status.requests.refused >= 8
        }
        #expect(proxy.status.requests.refused == 8 && proxy.sessions.streamCount == 16)
        #expect(try bench.ask(target, on: honest)?.status == .answer)
        bench.run(for: .seconds(30))
        #expect(proxy.sessions.streamCount == 0)
    }

    @Test("RQ4: a client that reads no answer, and then gives up its streams, leaves nothing at the proxy")
    func rq4Stopped() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target) = (bench.relays[0], bench.relays[1])
        let meddler = try Meddler(target)
        let sealed = [UInt8](repeating: 7, count: RequestClass.bytes65792.answerSize)
        let session = try bench.session(to: proxy)
        for isSilent in [true, false] {
            meddler.manner = isSilent ? .silent : .lies([0] + sealed)
            let before = meddler.forwards.count
            var ids: [StreamID] = []
            for _ in 0..<16 {
                let open = RequestOpen.envelope(try bench.seal(for: target).envelope, to: target.node)
                let id = try session.session.connection.openStream()
                _ = session.session.connection.write(id, open.encoded().rawSpan)
                session.session.connection.finish(id)
                session.session.touch()
                ids.append(id)
            }
            #expect(bench.run { meddler.forwards.count == before + 16 })
            bench.run(for: .seconds(2))
            #expect(proxy.sessions.streamCount == (isSilent ? 16 : 0), "each waits, or has written its answer")
            for id in ids { session.session.connection.stopSending(id, code: SessionError.cancelled) }
            session.session.touch()
            bench.run(for: .seconds(2))
            #expect(proxy.sessions.streamCount == 0)
            #expect(ids.allSatisfy { session.session.connection.readState($0) != .open })
            #expect(session.session.connection.openStreamCount == 0, "each has ended both ways")
            // They count for the session until the target answers, or for 12 s.
            bench.run(for: .seconds(13))
        }
        #expect(proxy.status.requests.pending == 0)
        meddler.manner = .honest
        #expect(try bench.ask(target, on: session)?.status == .answer)
    }

    @Test("RQ4: when the last link to a target ends, those that waited for a turn there learn that there is no link")
    func rq4LinkEnds() throws {
        let bench = try RequestBench(relays: 7)
        defer { bench.close() }
        let proxy = bench.relays[0]
        let sessions = try (0..<12).map { _ in (session: try bench.session(to: proxy), hops: bench.hops) }
        // Sessions over the target would end with the link.
        func past(_ relay: Relay) -> [RequestSession] {
            sessions.filter { !$0.hops.contains(relay.node) }.map(\.session)
        }
        let target = try #require(bench.relays.dropFirst().max { past($0).count < past($1).count })
        let hostile = past(target).prefix(6)
        #expect(hostile.count == 6)
        let meddler = try Meddler(target)
        meddler.manner = .silent
        var told: [OuterStatus?] = []
        for session in hostile { try flood(bench, session, of: 16, for: target) { told.append($0) } }
        bench.run(for: .milliseconds(500))
        #expect(meddler.forwards.count == RequestLimits.unanswered && told.isEmpty)
        part(bench, proxy, target) {}
        #expect(bench.run(for: .seconds(1)) { told.count == 96 })
        // While there is a second link, the requests whose turn it is go over that link.
        let (unanswered, unlinked) = (told.count { $0 == .noAnswer }, told.count { $0 == .noLink })
        #expect(unanswered + unlinked == 96 && unlinked >= 32, "\(unanswered) and \(unlinked)")
    }

    @Test("RQ6: a client's link brings no FORWARD and no ANSWER")
    func rq6Clients() throws {
        let harness = try RelayHarness()
        let client = try harness.client()
        let envelope = [UInt8](repeating: 1, count: RequestClass.bytes1024.envelopeSize)
        let forward = ForwardMessage(id: 1, isRelayed: false, envelope: envelope).encoded()
        let answer = AnswerMessage(id: 1, answer: .unreadable).encoded()
        for (message, body) in [(RequestMessage.forward, forward), (.answer, answer)] {
            var reply: Result<[UInt8], ControlFailure>?
            client.links.request(on: client.link, message, body: body) { reply = $0 }
            harness.run { reply != nil }
            #expect(reply == .failure(.refused))
        }
        #expect(harness.relay.status.requests.received == 0)
    }
}
