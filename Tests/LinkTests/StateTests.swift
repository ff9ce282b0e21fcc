import OnionCrypto
import Testing
import Wire

@testable import Link

@Suite struct StateTests {
    let start = Instant(nanoseconds: 50_000_000_000)

    /// Runs a liveness without packets until it is dead; the times of its pings and of its end in ms.
    private func silence(_ liveness: inout Liveness, late: TimeSpan = .zero) -> (pings: [Int64], dead: Int64?) {
        var pings: [Int64] = []
        for _ in 0..<50 {
            let moment = liveness.nextDeadline + late
            let time = (moment - start).nanoseconds / 1_000_000
            switch liveness.tick(now: moment) {
            case .none: break
            case .ping, .pingAgain: pings.append(time)
            case .dead: return (pings, time)
            }
        }
        return (pings, nil)
    }

    @Test("a peer that does not answer is dead after 1,150 ms under traffic") func deadUnderTraffic() {
        var liveness = Liveness(now: start)
        liveness.sent(now: start)
        liveness.sent(now: start + .milliseconds(100))
        check(liveness.tick(now: start + .milliseconds(249)) == .none)
        let result = silence(&liveness)
        check(result.pings == [250, 550, 850])
        check(result.dead == 1_150)
    }

    @Test("a silent link is pinged after 10 s and found dead well within 30 s") func deadIdle() {
        var liveness = Liveness(now: start)
        let result = silence(&liveness)
        check(result.pings.first == 10_000)
        check(result.dead! < 12_000)
    }

    @Test(
        "a peer that is far has time to answer, and is dead after ten seconds at most",
        arguments: [1_300, 2_000, 4_000, 60_000])
    func deadFarAway(roundTrip: Int64) {
        var liveness = Liveness(roundTrip: .milliseconds(roundTrip), now: start)
        liveness.sent(now: start)
        // The peer has time for two answers, however late the ping before.
        let first = start + .milliseconds(min(roundTrip, 4_000))
        check(liveness.tick(now: first + .milliseconds(-1)) == .none)
        let result = silence(&liveness)
        check(result.dead! >= min(roundTrip * 5 / 2, 10_000) && result.dead! <= 10_000)
        // A near peer is found dead as soon as always, even if it was far before.
        var near = Liveness(roundTrip: .milliseconds(roundTrip), now: start)
        near.measured(.milliseconds(100))
        near.sent(now: start)
        check(silence(&near).dead == 1_150)
    }

    @Test("a silence that may be the own line's lasts ten seconds, with ever fewer pings") func patience() {
        var liveness = Liveness(now: start)
        liveness.sent(now: start)
        var pings = 0, dead: Int64?
        while dead == nil, pings < 50 {
            let moment = liveness.nextDeadline
            switch liveness.tick(now: moment, isPatient: true) {
            case .none: break
            case .ping, .pingAgain: pings += 1
            case .dead: dead = (moment - start).nanoseconds / 1_000_000
            }
        }
        check(dead == 10_000 && pings <= 8)
        // The link is dead at once when another peer has answered meanwhile.
        var other = Liveness(now: start)
        other.sent(now: start)
        check(other.tick(now: other.nextDeadline, isPatient: true) == .ping && !other.leavesPings)
        for _ in 0..<4 { check(other.tick(now: other.nextDeadline, isPatient: true) == .pingAgain) }
        check(other.tick(now: other.nextDeadline) == .dead && other.leavesPings)
        // A packet in the ninth second makes the link good again.
        check(liveness.leavesPings)
        liveness.received(now: start + .seconds(9))
        check(!liveness.leavesPings && liveness.silentSince == nil && liveness.heard == start + .seconds(9))
    }

    @Test("any packet that comes makes the link good again") func recovers() {
        var liveness = Liveness(now: start)
        liveness.sent(now: start)
        check(liveness.tick(now: start + .milliseconds(250)) == .ping)
        liveness.received(now: start + .milliseconds(400))
        check(liveness.nextDeadline == start + .milliseconds(10_400))
        check(liveness.tick(now: start + .milliseconds(600)) == .none)
        liveness.sent(now: start + .milliseconds(700))
        check(liveness.nextDeadline == start + .milliseconds(950))
    }

    @Test("a tick that comes late does not count against the peer, but not for ever") func lateTick() {
        var liveness = Liveness(now: start)
        liveness.sent(now: start)
        check(liveness.tick(now: start + .milliseconds(250)) == .ping)
        // The own loop stopped for five seconds: the peer gets all its pings from then on.
        let after = start + .seconds(5)
        check(liveness.tick(now: after) == .pingAgain)
        check(liveness.tick(now: after + .milliseconds(300)) == .pingAgain)
        check(liveness.tick(now: after + .milliseconds(600)) == .pingAgain)
        check(liveness.tick(now: after + .milliseconds(900)) == .dead)
        var always = Liveness(now: start)
        always.sent(now: start)
        check(silence(&always, late: .milliseconds(500)).dead != nil)
    }

    // MARK: Address

    let home = Endpoint(address: IPAddress(v4: 1), port: 1)
    let away = Endpoint(address: IPAddress(v4: 2), port: 2)
    let third = Endpoint(address: IPAddress(v4: 3), port: 3)

    @Test("R2: a link moves only when the new address echoes the challenge from there") func moves() {
        var address = PeerAddress(home, mayMove: true)
        check(address.received(from: home, byteCount: 100, random: 1, now: start) == nil)
        check(address.received(from: away, byteCount: 100, random: 77, now: start) == 77)
        check(address.candidateEndpoint == away)
        // An echo before anything was sent proves nothing.
        check(!address.answered(77, from: away))
        address.challengeSent(byteCount: 100, now: start)
        check(!address.answered(76, from: away))
        check(!address.answered(77, from: home))
        check(!address.answered(77, from: third))
        check(address.endpoint == home)
        check(address.answered(77, from: away))
        check(address.endpoint == away)
        check(!address.answered(77, from: away))
    }

    @Test("R2: an address that has proved nothing gets no more than it sent, and one packet each 500 ms") func budget()
    {
        var address = PeerAddress(home, mayMove: true)
        var received = 0
        var sent = 0
        var moment = start
        for _ in 0..<200 {
            moment = moment + .milliseconds(20)
            received += 100
            if address.received(from: away, byteCount: 100, random: 5, now: moment) != nil {
                address.challengeSent(byteCount: 100, now: moment)
                sent += 100
            }
            check(sent <= received)
        }
        check(sent == 800)
        // Another address cannot displace a fresh candidate.
        check(address.received(from: third, byteCount: 100, random: 6, now: moment) == nil)
        check(address.candidateEndpoint == away)
        moment = moment + .seconds(1)
        check(address.received(from: third, byteCount: 100, random: 6, now: moment) == 6)
    }

    @Test("R2: a challenge goes out only against bytes that came from there") func budgetOfBytes() {
        var address = PeerAddress(home, mayMove: true)
        check(address.received(from: away, byteCount: 60, random: 5, now: start) == 5)
        address.challengeSent(byteCount: 100, now: start)
        // The interval is over, but 100 sent bytes and 60 more exceed the 120 received.
        let later = start + .seconds(1)
        check(address.received(from: away, byteCount: 60, random: 5, now: later) == nil)
        check(address.received(from: away, byteCount: 60, random: 5, now: later) == 5)
    }

    @Test("a link between nodes does not move") func nodes() {
        var address = PeerAddress(home, mayMove: false)
        check(address.received(from: away, byteCount: 100, random: 5, now: start) == nil)
        check(!address.answered(5, from: away))
    }

    // MARK: Idle, half-open, buckets

    @Test("a link is idle without paths and messages only") func idle() {
        var timer = IdleTimer(limit: IdleTimer.clientLimit, now: start)
        check(timer.deadline == start + .seconds(60))
        timer.touch(now: start + .seconds(30))
        check(timer.deadline == start + .seconds(90))
        timer.addPath()
        timer.addPath()
        check(timer.deadline == nil)
        timer.removePath(now: start + .seconds(100))
        check(timer.deadline == nil && timer.paths == 1)
        timer.removePath(now: start + .seconds(200))
        check(timer.deadline == start + .seconds(260))
        timer.removePath(now: start + .seconds(201))
        check(timer.paths == 0)
    }

    @Test("R4: half-open links are bounded, end in time, and the oldest gives way") func halfOpen() {
        var links = HalfOpenLinks<Int, Int>(limit: 3, lifetime: .seconds(10))
        for link in 0..<3 { check(links.insert(link, of: link, now: start) == nil) }
        check(links.insert(3, of: 3, now: start + .seconds(1)) == 0)
        links.remove(2)
        check(links.count == 2)
        check(links.popExpired(now: start + .seconds(9)) == nil)
        check(links.popExpired(now: start + .seconds(10)) == 1)
        check(links.popExpired(now: start + .seconds(10)) == nil)
        check(links.nextDeadline == start + .seconds(11))
        for link in 10..<10_000 {
            _ = links.insert(link, of: link, now: start + .seconds(2))
            links.remove(link)
        }
        check(links.count == 1)
        // Entries of links that are no longer half-open are bounded too.
        check((1...13).contains(links.remembered))
        check(links.popExpired(now: start + .seconds(11)) == 3)
        check(links.nextDeadline == nil)
    }

    @Test("R1: buckets of sources are bounded, and each source has its own") func sources() {
        var rates = SourceRates(rate: 1, burst: 2, capacity: 64)
        check(rates.take(7, now: start) && rates.take(7, now: start))
        check(!rates.take(7, now: start) && rates.take(8, now: start))
        for number in 100..<10_000 { _ = rates.take(number, now: start) }
        check(rates.count <= 64)
    }
}
