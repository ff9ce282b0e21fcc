import LinkModel
import OnionCrypto
import Synchronization
import Testing
import Wire

@testable import Link

@Suite struct LinkLineTests {
    private static func line(_ suite: Suite = .chacha20poly1305) -> LinkLine {
        LinkLine(suite, .random(), remoteIndex: 4_321)
    }

    @Test("the counter has its cache lines to itself") func place() {
        let line = Self.line()
        #expect(unsafe UInt(bitPattern: line.counter) % UInt(LinkLine.counterSpace) == 0)
        #expect(unsafe UInt(bitPattern: LinkLine.alwaysOver) % UInt(LinkLine.counterSpace) == 0)
        #expect(LinkLine.counterSpace >= 64)
    }

    @Test("senders of one line seal for one peer, whatever order their packets leave in", arguments: [false, true])
    func senders(isNode: Bool) throws {
        var parties = Handshakes()
        var pair = try parties.pair(isNode: isNode)
        // The line of the far end, as two workers have it.
        let own = pair.far.line
        let line = LinkLine(own.suite, own.secret.clone(), remoteIndex: own.remoteIndex)
        let a = LinkSender(line, sole: false)
        let b = LinkSender(line, sole: false)
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

    @Test("a packet is as it was where the line is over") func overSealsNothing() {
        let line = Self.line()
        let sender = LinkSender(line, sole: true)
        var packet = blank(3, pathID: 9)
        let before = packet
        line.retire()
        do {
            var span = packet.mutableRawSpan
            check(!sender.sealHeader(&span))
            check(sender.takeCounters(1) == nil)
        }
        #expect(packet == before)
        #expect(line.isOver)
    }

    @Test("a line whose counters are used up seals nothing", arguments: [false, true]) func exhausted(sole: Bool) {
        let line = Self.line()
        unsafe line.counter.pointee.store(LinkLine.over - 4, ordering: .relaxed)
        let sender = LinkSender(line, sole: sole)
        check(sender.takeCounters(2) == LinkLine.over - 4)
        check(sender.takeCounters(1) == LinkLine.over - 2)
        // A run is sealed whole or not at all.
        check(sender.takeCounters(2) == nil)
        check(sender.takeCounters(1) == nil)
        check(line.isOver && line.taken >= LinkLine.over)
    }

    @Test("K4: the secret goes with the last that held the line") func wipe() {
        weak var seen: LinkLine?
        do {
            let line = Self.line()
            seen = line
            do {
                let other = LinkSender(line, sole: false)
                check(other.takeCounters(1) == 0)
            }
            let sender = LinkSender(line, sole: false)
            check(sender.takeCounters(1) == 1)
            check(seen != nil)
        }
        // `Secret` and `AEADKey` wipe their memory when they end (`WipeTests`).
        #expect(seen == nil)
    }

    // MARK: Rekey

    @Test("rekey: the initiator's old line ends at once, the responder's with the first packet under the new keys")
    func rekey() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        var nearLine: LinkLine? = pair.near.line
        var farLine: LinkLine? = pair.far.line
        weak let nearSeen = nearLine
        weak let farSeen = farLine
        let body = pair.near.startRekey(localIndex: 10_001)
        let answer = pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now) ?? []
        #expect(nearLine?.isOver == false && farLine?.isOver == false)
        check(pair.near.finishRekey(answer.rawSpan, now: parties.now))
        #expect(nearLine?.isOver == true && farLine?.isOver == false)
        // Nobody else holds it, so that its secret goes with it.
        nearLine = nil
        #expect(nearSeen == nil)
        check(pair.near.line.remoteIndex == 20_001)
        check(pair.near.line.taken == 0)
        check(pair.far.line === farLine)
        let packet = pair.near.data()
        check(pair.far.take(packet, now: parties.now) == .success(.switched))
        #expect(farLine?.isOver == true)
        farLine = nil
        #expect(farSeen == nil)
        check(pair.far.line.remoteIndex == 10_001)
        check(pair.far.line.taken == 0)
        let back = pair.far.data()
        check(pair.near.take(back, now: parties.now) == .success(.confirmed))
    }

    @Test("rekey: a line that waited for its first packet gives way to the next one's") func waitingLine() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let body = pair.near.startRekey(localIndex: 10_001)
        check(pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now) != nil)
        var first = pair.far.waiting
        weak let firstSeen = first
        #expect(first?.isOver == false)
        // The answer is lost: both go on with the lines that they have.
        pair.near.rekeyFailed(now: parties.now)
        check(!pair.near.line.isOver)
        check(!pair.far.line.isOver)
        parties.now = parties.now + .seconds(30)
        let again = pair.near.startRekey(localIndex: 10_002)
        let answer = pair.far.answerRekey(again.rawSpan, localIndex: 20_002, now: parties.now) ?? []
        // Whoever has got the first one's line seals nothing with it.
        #expect(first?.isOver == true)
        first = nil
        #expect(firstSeen == nil)
        check(pair.near.finishRekey(answer.rawSpan, now: parties.now))
        let packet = pair.near.data()
        check(pair.far.take(packet, now: parties.now) == .success(.switched))
        check(pair.far.line.remoteIndex == 10_002)
        check(!pair.far.line.isOver)
        check(pair.near.line.remoteIndex == 20_002)
        // Where they are over before the peer uses them, they take their line along.
        let last = pair.near.startRekey(localIndex: 10_003)
        check(pair.far.answerRekey(last.rawSpan, localIndex: 20_003, now: parties.now + .seconds(31)) != nil)
        var unused = pair.far.waiting
        weak let unusedSeen = unused
        #expect(unused?.isOver == false)
        check(pair.far.expire(now: parties.now + .seconds(400)))
        #expect(unused?.isOver == true)
        unused = nil
        #expect(unusedSeen == nil)
        check(pair.far.line.remoteIndex == 10_002)
    }

    @Test("a link whose line is over ends, unless new keys are on their way") func overEndsLink() throws {
        var parties = Handshakes()
        var pair = try parties.pair()
        let body = pair.near.startRekey(localIndex: 10_001)
        check(pair.far.answerRekey(body.rawSpan, localIndex: 20_001, now: parties.now) != nil)
        check(!pair.near.expire(now: parties.now) && !pair.far.expire(now: parties.now))
        pair.near.line.retire()
        pair.far.line.retire()
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
        unsafe pair.near.line.counter.pointee.store(1 << 60, ordering: .relaxed)
        check(pair.near.wantsRekey(now: parties.now))
        unsafe pair.near.line.counter.pointee.store(LinkLine.over, ordering: .relaxed)
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
