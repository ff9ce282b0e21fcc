import LinkModel
import Testing
import Wire

@testable import Link

/// Receiving side and keyring while one has not yet told the other of a change, as between two workers.
@Suite struct LinkReceiverTests {
    @Test("the receiving side uses new keys before the keyring hears of it, and control packets fit their send key")
    func early() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        _ = pair.far.take(pair.near.data(), now: parties.now)
        let body = pair.near.startRekey(localIndex: 10_001)
        guard let answer = pair.far.keyring.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now) else {
            Issue.record("no answer")
            return
        }
        let (message, sendKey) = (answer.body, answer.sendKey)
        pair.far.receiver.expect(answer.takeKeys())
        check(pair.far.receiver.isWaiting)
        // Under the old send key, while the new keys wait.
        check(pair.near.takeControl(pair.far.control(1), now: parties.now) == .success([0, 1]))
        check(pair.near.finishRekey(message.rawSpan, now: parties.now))

        var packet = pair.near.data()
        var span = packet.mutableRawSpan
        let (index, counter) = (span.receiverIndex, span.linkCounter)
        check(pair.far.receiver.openHeader(&span) == nil)
        check(pair.far.receiver.commit(index: index, counter: counter, now: parties.now) == .switched)
        check(!pair.far.receiver.isWaiting)
        check(pair.far.receiver.localIndex == 20_001)
        // One sender already has the new send key; the keyring still has the old one.
        check(pair.far.keyring.sendKey !== sendKey)
        pair.far.sender = LinkSender(sendKey, sole: true)
        check(pair.near.takeControl(pair.far.control(2), now: parties.now) == .success([1, 2]))
        let old = pair.far.keyring.sendKey
        pair.far.keyring.switched()
        check(pair.far.keyring.sendKey === sendKey)
        check(!old.isOver)
        pair.far.keyring.retireReplaced()
        check(old.isOver)
        check(pair.near.takeControl(pair.far.control(3), now: parties.now) == .success([2, 3]))
    }

    @Test("a sender that is not told of the new send key yet sends control packets under the old keys") func toldLater()
        throws
    {
        var parties = Handshakes()
        var pair = try parties.pair()
        check(pair.far.take(pair.near.data(), now: parties.now) == .success(.confirmed))
        let sendKey = pair.near.keyring.sendKey
        let body = pair.near.startRekey(localIndex: 10_001)
        guard let answer = pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now),
            let keys = pair.near.keyring.finishRekey(answer.rawSpan, now: parties.now)
        else { return check(Bool(false)) }
        pair.near.receiver.renew(keys)
        check(pair.near.sendKey === sendKey)
        check(pair.near.keyring.sendKey !== sendKey)
        check(pair.far.takeControl(pair.near.control(1), now: parties.now) == .success([0, 1]))
        pair.near.sender = LinkSender(pair.near.keyring.sendKey, sole: true)
        pair.near.keyring.retireReplaced()
        check(sendKey.isOver)
        check(pair.far.takeControl(pair.near.control(2), now: parties.now) == .success([1, 2]))
    }

    @Test("keys that wait are replaced, or end with their time; their indices are told once") func waiting() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        _ = pair.far.take(pair.near.data(), now: parties.now)
        for number in UInt32(1)...2 {
            let body = pair.near.startRekey(localIndex: 10_000 + number)
            check(pair.far.answerRekey(body.rawSpan, localIndex: 20_000 + number, now: parties.now) != nil)
            parties.now = parties.now + .seconds(30)
        }
        check(pair.far.receiver.takeRetired() == [20_001])
        check(pair.far.receiver.takeRetired() == [])
        check(Set(pair.far.receiver.localIndices()) == [777_777, 20_002])
        // The second ones were made half a minute ago.
        pair.far.receiver.expire(now: parties.now + .seconds(149))
        check(pair.far.receiver.isWaiting)
        pair.far.receiver.expire(now: parties.now + .seconds(150))
        check(!pair.far.receiver.isWaiting)
        check(pair.far.receiver.takeRetired() == [20_002])
        check(pair.far.receiver.localIndices() == [777_777])
    }

    @Test("a first packet is told once, whichever keys it comes under") func confirmation() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        check(!pair.near.keyring.wantsRekey(now: parties.now + .seconds(170)))
        check(pair.near.take(pair.far.data(), now: parties.now) == .success(.confirmed))
        check(pair.near.keyring.wantsRekey(now: parties.now + .seconds(170)))
        check(pair.near.take(pair.far.data(), now: parties.now) == .success(.committed))

        // The first packet under later keys is not the link's first one.
        check(pair.far.take(pair.near.data(), now: parties.now) == .success(.confirmed))
        let old = pair.far.data()
        let body = pair.near.startRekey(localIndex: 10_001)
        guard let answer = pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now) else {
            return check(Bool(false))
        }
        check(pair.near.finishRekey(answer.rawSpan, now: parties.now))
        check(pair.far.take(pair.near.data(), now: parties.now) == .success(.switched))
        check(pair.near.take(pair.far.data(), now: parties.now) == .success(.committed))
        check(pair.near.take(old, now: parties.now) == .success(.committed))
        check(pair.far.take(pair.near.data(), now: parties.now) == .success(.committed))
    }

    // MARK: Control counters

    /// The peer holds the keys, so it may seal any counter.
    @Test("O17: a control counter counts once, under whatever link counter it comes") func controlTwice() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let now = parties.now
        check(pair.far.takeControl(pair.near.control(1), now: now) == .success([0, 1]))
        pair.near.skipControlNumbers(.max)
        var again = pair.near.control(2)
        var span = again.mutableRawSpan
        check(pair.far.openHeader(&span) == nil && pair.far.openControl(&span) == .drop(.replayedControl))
        check(pair.far.takeControl(pair.near.control(3), now: now) == .success([1, 3]))
        // Counters too far back cannot be told from those that have come.
        pair.near.skipControlNumbers(20_000)
        check(pair.far.takeControl(pair.near.control(4), now: now) == .success([20_002, 4]))
        pair.near.skipControlNumbers(0 &- 20_001)
        check(pair.near.nextControlNumber == 2)
        check(pair.far.takeControl(pair.near.control(5), now: now) == .failure(.replayedControl))
    }

    @Test("O17: of two control packets with one counter, both opened before either was committed, one counts")
    func controlRace() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        var first = pair.near.control(1)
        pair.near.skipControlNumbers(.max)
        var second = pair.near.control(2)
        var a = first.mutableRawSpan
        var b = second.mutableRawSpan
        check(pair.far.openHeader(&a) == nil && pair.far.openControl(&a) == .opened(packetNumber: 0))
        check(pair.far.openHeader(&b) == nil && pair.far.openControl(&b) == .opened(packetNumber: 0))
        check(pair.far.commitControl(packetNumber: 0))
        check(!pair.far.commitControl(packetNumber: 0))
    }

    @Test(
        "O17: control counters before the start, or 2^62 above it, are dropped and move nothing",
        arguments: [true, false])
    func controlRange(isNode: Bool) throws {
        var parties = Handshakes()
        var pair = try parties.pair(isNode: isNode)
        let now = parties.now
        // The counters before the start wrap to the largest numbers.
        for number in [.max, .max - 1, 1 << 63, 1 << 62, 1 << 62 + 1] as [UInt64] {
            pair.near.skipControlNumbers(number)
            check(pair.far.takeControl(pair.near.control(1), now: now) == .failure(.replayedControl))
            pair.near.skipControlNumbers(0 &- number &- 1)
            check(pair.near.nextControlNumber == 0)
        }
        check(pair.far.takeControl(pair.near.control(2), now: now) == .success([0, 2]))
        pair.near.skipControlNumbers((1 << 62 - 1) &- pair.near.nextControlNumber)
        check(pair.far.takeControl(pair.near.control(3), now: now) == .success([1 << 62 - 1, 3]))
    }
}
