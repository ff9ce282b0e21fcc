import LinkModel
import OnionCrypto
import Testing
import Wire

@testable import Link

@Suite struct KeyringTests {
    @Test("O17: a spoiled copy commits nothing, and the real packet still counts once") func spoiled() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let packet = pair.near.data()
        for offset in [4, 12, 28, 36, 131] {
            var copy = packet
            copy[offset] ^= 1
            check(pair.far.take(copy, now: parties.now) == .failure(.badHeader))
        }
        var foreign = packet
        foreign[0] ^= 1
        check(pair.far.take(foreign, now: parties.now) == .failure(.unknownIndex))
        check(pair.far.take(packet, now: parties.now) == .success(.confirmed))
        check(pair.far.take(packet, now: parties.now) == .failure(.replayedPacket))
    }

    @Test("O17: of two copies that were both opened before either was committed one counts") func race() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        var (a, b) = (pair.near.data(), [UInt8]())
        b = a
        var first = a.mutableRawSpan
        let (index, counter) = (first.receiverIndex, first.linkCounter)
        check(pair.far.openHeader(&first) == nil)
        var second = b.mutableRawSpan
        check(pair.far.openHeader(&second) == nil)
        check(pair.far.commit(index: index, counter: counter, now: parties.now) == .confirmed)
        check(pair.far.commit(index: index, counter: counter, now: parties.now) == .duplicate)
    }

    @Test("O17: control packets: payload, counter and replays are checked before anything is committed")
    func control() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let packet = pair.near.control(7)
        var spoiled = packet
        spoiled[600] ^= 1
        check(pair.far.takeControl(spoiled, now: parties.now) == .failure(.badControl))
        check(pair.far.takeControl(packet, now: parties.now) == .success([0, 7]))
        check(pair.far.takeControl(packet, now: parties.now) == .failure(.replayedPacket))
        pair.near.skipControlNumbers(3)
        check(pair.near.nextControlNumber == 4)
        let later = pair.near.control(8)
        check(pair.far.takeControl(later, now: parties.now) == .success([4, 8]))
        // The other direction has its own numbers.
        let back = pair.far.control(9)
        check(pair.near.takeControl(back, now: parties.now) == .success([0, 9]))
    }

    @Test("packets are taken in any order within the window, and none twice") func order() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let packets = (0..<300).map { _ in pair.near.data() }
        for packet in packets.shuffled() {
            guard case .success = pair.far.take(packet, now: parties.now) else { return check(Bool(false)) }
        }
        for packet in packets { check(pair.far.take(packet, now: parties.now) == .failure(.replayedPacket)) }
    }

    @Test("nothing that shows on the wire is the same in two packets but the index") func noRepeats() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        // The payload of a data packet is sealed by the path's layers, that of a control packet by the link.
        let data = [pair.near.data(), pair.near.data()].map { [UInt8]($0.prefix(Packet.payloadOffset)) }
        let control = [pair.near.control(7), pair.near.control(7)]
        for (a, b) in [(data[0], data[1]), (control[0], control[1])] {
            check(a[0..<4] == b[0..<4])
            for start in stride(from: 4, to: a.count, by: 8) {
                let range = start..<min(start + 8, a.count)
                check(a[range] != b[range])
            }
        }
    }

    // MARK: Rekey

    /// Renews the keys of a pair; returns whether both took part.
    private func rekey(_ pair: inout Handshakes.Pair, _ index: UInt32, now: Instant) -> Bool {
        let body = pair.near.startRekey(localIndex: 10_000 + index)
        guard let answer = pair.far.answerRekey(body.rawSpan, localIndex: 20_000 + index, now: now) else {
            return false
        }
        return pair.near.finishRekey(answer.rawSpan, now: now)
    }

    @Test("counters of runs are taken once, and a gap or another order loses nothing") func runs() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let first = pair.near.takeCounters(3) ?? .max
        let between = pair.near.data()
        let second = pair.near.takeCounters(2) ?? .max
        check(first == 0 && second == 4)
        // The second run is sent before the first; one counter of the first run is never used.
        var sent: [[UInt8]] = []
        for counter in [second + 1, second, first + 2, first] {
            var packet = blank(1, pathID: 5)
            var span = packet.mutableRawSpan
            pair.near.sealHeader(&span, counter: counter)
            sent.append(packet)
        }
        sent.append(between)
        sent.append(pair.near.data())
        var seen: Set<UInt64> = []
        for packet in sent {
            var copy = packet
            seen.insert(copy.mutableRawSpan.linkCounter)
            guard case .success(let commit) = pair.far.take(packet, now: parties.now) else {
                Issue.record("dropped")
                continue
            }
            check(commit != .duplicate)
            check(pair.far.take(packet, now: parties.now) == .failure(.replayedPacket))
        }
        check(seen == [0, 2, 3, 4, 5, 6])
    }

    @Test("K1: rekey: due after 2 minutes, old packets still count, old keys go after 10 s") func rekeyFlow() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let first = pair.near.data()
        check(pair.far.take(first, now: parties.now) == .success(.confirmed))
        let echo = pair.far.data()
        check(pair.near.take(echo, now: parties.now) == .success(.confirmed))
        check(!pair.near.wantsRekey(now: parties.now + .seconds(119)))
        parties.now = parties.now + .seconds(120)
        check(pair.near.wantsRekey(now: parties.now))
        check(!pair.far.wantsRekey(now: parties.now))

        let oldOutward = pair.near.data()
        let olderOutward = pair.near.control(3)
        check(rekey(&pair, 1, now: parties.now))
        check(!pair.near.wantsRekey(now: parties.now))
        // The responder still sends under the old keys until it has seen the new ones.
        let oldInward = pair.far.data()
        check(pair.near.take(oldInward, now: parties.now) == .success(.committed))
        let newOutward = pair.near.data()
        check(oldOutward[0..<4] != newOutward[0..<4])
        check(pair.far.take(newOutward, now: parties.now) == .success(.switched))
        let newInward = pair.far.data()
        check(pair.near.take(newInward, now: parties.now) == .success(.committed))
        // Packets that were under way.
        check(pair.far.take(oldOutward, now: parties.now) == .success(.committed))
        check(pair.far.take(oldOutward, now: parties.now) == .failure(.replayedPacket))

        check(!pair.far.expire(now: parties.now + .seconds(9)))
        check(!pair.near.expire(now: parties.now + .seconds(9)))
        check(pair.far.takeControl(olderOutward, now: parties.now) == .success([0, 3]))
        let late = oldInward
        check(!pair.far.expire(now: parties.now + .seconds(10)))
        check(!pair.near.expire(now: parties.now + .seconds(10)))
        check(pair.far.takeRetired() == [777_777])
        check(pair.near.takeRetired() == [4_242])
        check(pair.near.take(late, now: parties.now) == .failure(.unknownIndex))
        check(Set(pair.near.localIndices()) == [10_001])
    }

    @Test("control numbers go on across rekeys") func controlAcross() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        check(pair.far.takeControl(pair.near.control(1), now: parties.now) == .success([0, 1]))
        let held = pair.near.control(2)
        for round in UInt32(1)...3 {
            parties.now = parties.now + .seconds(60)
            check(rekey(&pair, round, now: parties.now))
            let packet = pair.near.control(3)
            check(pair.far.takeControl(packet, now: parties.now) == .success([UInt64(round) + 1, 3]))
        }
        // Its keys are two generations old.
        check(pair.far.takeControl(held, now: parties.now) == .failure(.unknownIndex))
    }

    @Test("K8: new keys count only with a packet under them, a lost answer loses nothing") func lostAnswer() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        _ = pair.far.take(pair.near.data(), now: parties.now)
        let body = pair.near.startRekey(localIndex: 10_001)
        let answer = pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now)
        check(answer != nil)
        pair.near.rekeyFailed(now: parties.now)
        check(pair.near.takeRetired() == [10_001])
        // Both go on under the old keys, in both directions.
        check(pair.far.take(pair.near.data(), now: parties.now) == .success(.committed))
        guard case .success = pair.near.take(pair.far.data(), now: parties.now) else { return check(Bool(false)) }
        // A second REKEY too soon is refused; later it replaces the keys that were never used.
        let soon = pair.near.startRekey(localIndex: 10_002)
        let refused = pair.far.answerRekey(soon.rawSpan, localIndex: 20_002, now: parties.now + .seconds(29))
        check(refused == nil)
        parties.now = parties.now + .seconds(30)
        check(rekey(&pair, 3, now: parties.now))
        check(pair.far.takeRetired() == [20_001])
        check(pair.far.take(pair.near.data(), now: parties.now) == .success(.switched))
    }

    @Test("rekey: only the initiator begins, and only with the link's own secret") func rekeyRefused() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        var other = try Handshakes.pairOf(&parties)
        let foreign = other.near.startRekey(localIndex: 10_001)
        let refused = pair.far.answerRekey(foreign.rawSpan, localIndex: 20_001, now: parties.now)
        check(refused == nil)
        let backwards = pair.near.answerRekey(foreign.rawSpan, localIndex: 20_001, now: parties.now)
        check(backwards == nil)
        for count in [0, 3, 51, 53, 100] {
            let body = [UInt8](repeating: 1, count: count)
            let result = pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now)
            check(result == nil)
        }
        _ = pair.near.startRekey(localIndex: 10_002)
        let spoiled = [UInt8](repeating: 9, count: 52)
        check(!pair.near.finishRekey(spoiled.rawSpan, now: parties.now))
        check(pair.near.takeRetired() == [10_002])
        check(pair.far.take(pair.near.data(), now: parties.now) == .success(.confirmed))
    }

    @Test("any key ends 3 minutes after it was made, and the link with the current one") func lifetime() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        check(!pair.near.expire(now: parties.now + .seconds(179)))
        check(pair.near.expire(now: parties.now + .seconds(180)))
        // Keys that the peer never used end too.
        let start = parties.now
        _ = pair.far.take(pair.near.data(), now: parties.now)
        let body = pair.near.startRekey(localIndex: 10_001)
        check(pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: start) != nil)
        check(pair.far.expire(now: start + .seconds(180)))
        check(pair.far.takeRetired() == [20_001])
    }

    @Test("a rekey is due after as many packets as one key may seal") func packetLimit() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        _ = pair.near.take(pair.far.data(), now: parties.now)
        pair.near.timing.rekeyAfterPackets = 10
        for _ in 0..<9 { _ = pair.near.data() }
        check(!pair.near.wantsRekey(now: parties.now))
        _ = pair.near.data()
        check(pair.near.wantsRekey(now: parties.now))
    }
}

extension Handshakes {
    static func pairOf(_ parties: inout Handshakes) throws -> Pair {
        parties.now = parties.now + .milliseconds(1)
        return try parties.pair()
    }
}
