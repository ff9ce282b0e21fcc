import LinkModel
import OnionCrypto
import Synchronization
import Testing
import Wire

@testable import Link

@Suite struct LinkSendKeyTests {
    private static func sendKey(_ suite: Suite = .chacha20poly1305) -> LinkSendKey {
        LinkSendKey(suite, .random(), remoteIndex: 4_321)
    }

    @Test("the counter has its cache lines to itself") func place() {
        let sendKey = Self.sendKey()
        #expect(unsafe UInt(bitPattern: sendKey.counter) % UInt(LinkSendKey.counterSpace) == 0)
        #expect(unsafe UInt(bitPattern: LinkSendKey.alwaysOver) % UInt(LinkSendKey.counterSpace) == 0)
        #expect(LinkSendKey.counterSpace >= 64)
    }

    @Test("senders of one send key seal for one peer, whatever order their packets leave in", arguments: [false, true])
    func senders(isNode: Bool) throws {
        var parties = Handshakes()
        var pair = try parties.pair(isNode: isNode)
        // The send key of the far end, as two workers have it.
        let own = pair.far.sendKey
        let sendKey = LinkSendKey(own.suite, own.secret.clone(), remoteIndex: own.remoteIndex)
        let a = LinkSender(sendKey, sole: false)
        let b = LinkSender(sendKey, sole: false)
        var sent: [[UInt8]] = []
        for _ in 0..<20 {
            for count in 1...3 {
                guard var first = count == 2 ? a.takeCounters(count) : b.takeCounters(count) else {
                    Issue.record("no counters")
                    return
                }
                for _ in 0..<count {
                    var packet = blank(1, pathID: 5)
                    var span = packet.mutableRawSpan
                    if count == 2 { a.sealHeader(&span, counter: first) } else { b.sealHeader(&span, counter: first) }
                    sent.append(packet)
                    first += 1
                }
            }
        }
        for packet in sent.shuffled() {
            guard case .success(let commit) = pair.near.take(packet, now: parties.now) else {
                Issue.record("dropped")
                return
            }
            check(commit != .duplicate)
        }
    }

    @Test("a packet is as it was where the send key is over") func overSealsNothing() {
        let sendKey = Self.sendKey()
        let sender = LinkSender(sendKey, sole: true)
        var packet = blank(3, pathID: 9)
        let before = packet
        sendKey.retire()
        do {
            var span = packet.mutableRawSpan
            check(!sender.sealHeader(&span))
            check(sender.takeCounters(1) == nil)
        }
        #expect(packet == before)
        #expect(sendKey.isOver)
    }

    @Test("a send key whose counters are used up seals nothing", arguments: [false, true]) func exhausted(sole: Bool) {
        let sendKey = Self.sendKey()
        unsafe sendKey.counter.pointee.store(LinkSendKey.over - 4, ordering: .relaxed)
        let sender = LinkSender(sendKey, sole: sole)
        check(sender.takeCounters(2) == LinkSendKey.over - 4)
        check(sender.takeCounters(1) == LinkSendKey.over - 2)
        // A run is sealed whole or not at all.
        check(sender.takeCounters(2) == nil)
        check(sender.takeCounters(1) == nil)
        check(sendKey.isOver && sendKey.taken >= LinkSendKey.over)
    }

    @Test("K4: the secret goes with the last that held the send key") func wipe() {
        weak var seen: LinkSendKey?
        do {
            let sendKey = Self.sendKey()
            seen = sendKey
            do {
                let other = LinkSender(sendKey, sole: false)
                check(other.takeCounters(1) == 0)
            }
            let sender = LinkSender(sendKey, sole: false)
            check(sender.takeCounters(1) == 1)
            check(seen != nil)
        }
        // `Secret` and `AEADKey` wipe their memory when they end (`WipeTests`).
        #expect(seen == nil)
    }

    // MARK: Rekey

    @Test("rekey: the initiator's old send key ends at once, the responder's with the first packet under the new keys")
    func rekey() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        var nearKey: LinkSendKey? = pair.near.sendKey
        var farKey: LinkSendKey? = pair.far.sendKey
        weak let nearSeen = nearKey
        weak let farSeen = farKey
        let body = pair.near.startRekey(localIndex: 10_001)
        let answer = pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now) ?? []
        #expect(nearKey?.isOver == false && farKey?.isOver == false)
        check(pair.near.finishRekey(answer.rawSpan, now: parties.now))
        #expect(nearKey?.isOver == true && farKey?.isOver == false)
        // Nobody else holds it, so that its secret goes with it.
        nearKey = nil
        #expect(nearSeen == nil)
        check(pair.near.sendKey.remoteIndex == 20_001)
        check(pair.near.sendKey.taken == 0)
        check(pair.far.sendKey === farKey)
        let packet = pair.near.data()
        check(pair.far.take(packet, now: parties.now) == .success(.switched))
        #expect(farKey?.isOver == true)
        farKey = nil
        #expect(farSeen == nil)
        check(pair.far.sendKey.remoteIndex == 10_001)
        check(pair.far.sendKey.taken == 0)
        let back = pair.far.data()
        check(pair.near.take(back, now: parties.now) == .success(.confirmed))
    }

    @Test("rekey: a send key that waited for its first packet gives way to the next one's") func waitingKey() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let body = pair.near.startRekey(localIndex: 10_001)
        check(pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now) != nil)
        var first = pair.far.waiting
        weak let firstSeen = first
        #expect(first?.isOver == false)
        // The answer is lost: both go on with the send keys that they have.
        pair.near.rekeyFailed(now: parties.now)
        check(!pair.near.sendKey.isOver)
        check(!pair.far.sendKey.isOver)
        parties.now = parties.now + .seconds(30)
        let again = pair.near.startRekey(localIndex: 10_002)
        let answer = pair.far.answerRekey(again.rawSpan, localIndex: 20_002, now: parties.now) ?? []
        // Whoever has got the first one's send key seals nothing with it.
        #expect(first?.isOver == true)
        first = nil
        #expect(firstSeen == nil)
        check(pair.near.finishRekey(answer.rawSpan, now: parties.now))
        let packet = pair.near.data()
        check(pair.far.take(packet, now: parties.now) == .success(.switched))
        check(pair.far.sendKey.remoteIndex == 10_002)
        check(!pair.far.sendKey.isOver)
        check(pair.near.sendKey.remoteIndex == 20_002)
        // Where they are over before the peer uses them, they take their send key along.
        let last = pair.near.startRekey(localIndex: 10_003)
        check(pair.far.answerRekey(last.rawSpan, localIndex: 20_003, now: parties.now + .seconds(31)) != nil)
        var unused = pair.far.waiting
        weak let unusedSeen = unused
        #expect(unused?.isOver == false)
        check(pair.far.expire(now: parties.now + .seconds(400)))
        #expect(unused?.isOver == true)
        unused = nil
        #expect(unusedSeen == nil)
        check(pair.far.sendKey.remoteIndex == 10_002)
    }

    @Test("a link whose send key is over ends, unless new keys are on their way") func overEndsLink() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let body = pair.near.startRekey(localIndex: 10_001)
        check(pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now) != nil)
        check(!pair.near.expire(now: parties.now) && !pair.far.expire(now: parties.now))
        pair.near.sendKey.retire()
        pair.far.sendKey.retire()
        // The answer may come, or the first packet under the waiting keys.
        check(!pair.near.expire(now: parties.now) && !pair.far.expire(now: parties.now))
        pair.near.rekeyFailed(now: parties.now)
        check(pair.near.expire(now: parties.now))
    }

    @Test("a link whose counters are used up sends nothing, and one that nears it wants new keys") func exhaustedLink()
        throws
    {
        var parties = Handshakes()
        var pair = try parties.pair()
        check(pair.near.take(pair.far.data(), now: parties.now) == .success(.confirmed))
        check(!pair.near.wantsRekey(now: parties.now))
        unsafe pair.near.sendKey.counter.pointee.store(1 << 60, ordering: .relaxed)
        check(pair.near.wantsRekey(now: parties.now))
        unsafe pair.near.sendKey.counter.pointee.store(LinkSendKey.over, ordering: .relaxed)
        check(pair.near.wantsRekey(now: parties.now))
        var packet = blank(1, pathID: 5)
        let before = packet
        do {
            var span = packet.mutableRawSpan
            check(!pair.near.sealHeader(&span))
        }
        #expect(packet == before)
        var control = blank(1)
        var span = control.mutableRawSpan
        check(!pair.near.sealControl(&span))
    }
}
