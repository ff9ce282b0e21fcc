import Directory
import Registry
import Testing
import Wire

@testable import Links
@testable import Relay

/// Questions of strangers to the ledger beside those of the authorities.
@Suite struct LedgerQueueTests {
    private func node(_ number: UInt64) -> NodeID {
        var writer = ByteWriter()
        for word in [number, 1, 2, 3] { writer.u64(word) }
        return NodeID(Bytes32(copying: writer.bytes.rawSpan))
    }

    private func responder(_ link: UInt32, _ stream: UInt64) -> ControlResponder {
        ControlResponder(link: LinkID(rawValue: link), stream: stream)
    }

    private func address(_ number: UInt32) -> Asker { .address(AddressShare(IPAddress(v4: 0x0a00_0000 + number))) }

    private func event(
        _ message: LedgerMessage, _ size: Int, from peer: NodeID? = nil, _ responder: ControlResponder
    ) -> LedgerWorker.Event { .asked(message, [UInt8](repeating: 0, count: size), peer, responder) }

    private func isAuthoritys(_ event: LedgerWorker.Event) -> Bool {
        guard case .asked(let message, _, _, _) = event else { return false }
        return message == .prepare || message == .propose || message == .commit
    }

    /// Two hundred links of eight addresses and a hostile node hand in 4,000 operations a second.
    ///
    /// An operation takes the worker 5 ms. An authority asks every 50 ms, and its question never waits longer than one
    /// batch.
    @Test("s13: operations at full speed do not delay the authorities, and hold little")
    func aFloodDoesNotDelayABlock() {
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var queue = LedgerQueue(now: now)
        var stream: UInt64 = 0
        var asked: [UInt64: Instant] = [:]
        var longest = TimeSpan.zero
        var operations = 0
        var most = 0
        let end = now + .seconds(10)
        var nextQuestion = now
        /// The time up to which the flood has been queued.
        var flooded = now
        while now < end {
            queue.tick()
            let batch = queue.next(now: now)
            for event in batch where isAuthoritys(event) {
                // No operation of a stranger comes before an authority's question.
                let before = batch.prefix { !isAuthoritys($0) }
                #expect(!before.contains { if case .asked(.submit, _, _, _) = $0 { true } else { false } })
            }
            var taken = 0
            for event in batch {
                now = now + (isAuthoritys(event) ? .milliseconds(2) : .milliseconds(0))
                guard case .asked(let message, _, _, let responder) = event else { continue }
                if message == .submit {
                    now = now + .milliseconds(5)
                    taken += 1
                } else if let begun = asked.removeValue(forKey: responder.stream) {
                    longest = max(longest, now - begun)
                }
            }
            operations += taken
            #expect(taken <= LedgerQueue.batchOperations)
            if batch.count <= 1 { now = now + .milliseconds(1) }
            // Operations that arrived while the worker was busy.
            while flooded < now {
                flooded = flooded + .milliseconds(1)
                for _ in 0..<4 {
                    stream += 1
                    let link = UInt32(stream % 200) + 1
                    let asker = stream % 4 == 0 ? Asker.node(node(77)) : address(link % 8)
                    _ = queue.submit(event(.submit, 180, responder(link, stream)), by: asker)
                }
            }
            if now >= nextQuestion {
                nextQuestion = now + .milliseconds(50)
                stream += 1
                asked[stream] = now
                let refused = queue.ask(event(.propose, 200_000, responder(500, stream)), byAuthority: node(1))
                #expect(refused == nil)
            }
            most = max(most, queue.count)
        }
        // Four operations, and the question itself.
        #expect(longest <= .milliseconds(4 * 5 + 2 + 2))
        // 32 operations a second of strangers, and 64 of nodes.
        #expect(operations <= 10 * (32 + 64) + 2 * LedgerQueue.batchOperations)
        #expect(operations >= 900)
        // Eight operations of each address, and sixteen of the node.
        #expect(most <= 8 * 8 + 16 + 4)
    }

    @Test("s13: each authority and each address has a share of what waits")
    func everyQueueHasShares() {
        let now = Instant(nanoseconds: 1_000_000_000_000)
        var queue = LedgerQueue(now: now)
        // An authority that repeats itself holds four places, and takes none from another authority.
        var refused = 0
        for stream in 0..<100 as Range<UInt64>
        where queue.ask(event(.propose, 200_000, responder(1, stream)), byAuthority: node(1)) != nil { refused += 1 }
        #expect(refused == 96)
        let other = queue.ask(event(.prepare, 16, responder(2, 0)), byAuthority: node(2))
        #expect(other == nil)
        // Sixteen addresses take all places of strangers, and the seventeenth still gets one.
        for number in 0..<16 as Range<UInt32> {
            for stream in 0..<20 as Range<UInt64> {
                _ = queue.submit(event(.submit, 180, responder(10 + number, stream)), by: address(number))
            }
        }
        let gaveWay = queue.submit(event(.submit, 180, responder(99, 0)), by: address(99))
        #expect(gaveWay?.responder != nil && gaveWay?.responder != responder(99, 0))
        #expect(queue.count == 4 + 1 + 128)
    }

    @Test("s13: a batch is bounded in bytes, and one message always goes")
    func batchesAreBounded() {
        let now = Instant(nanoseconds: 1_000_000_000_000)
        var queue = LedgerQueue(now: now)
        for number in 0..<32 as Range<UInt64> {
            for stream in 0..<4 as Range<UInt64> {
                _ = queue.ask(
                    event(.propose, 200_000, responder(UInt32(number) + 1, stream)), byAuthority: node(number))
            }
        }
        var batches = 0
        while queue.count > 0 {
            let batch = queue.next(now: now)
            let bytes = batch.reduce(0) { $0 + $1.size }
            #expect(!batch.isEmpty && bytes <= LedgerQueue.batchBytes)
            batches += 1
        }
        #expect(batches == 26)
        let refused = queue.ask(event(.propose, 2 << 20, responder(1, 9)), byAuthority: node(1))
        #expect(refused == nil && queue.next(now: now).count == 1)
    }

    /// None of 64 links with 64 questions each reads its answer; the size of answers is counted before they are made.
    @Test("s13: 64 links with 64 questions for blocks each hold two mebibytes")
    func questionsForBlocksAreBounded() {
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var questions = BlockQuestions()
        var refused = 0
        for stream in 0..<64 as Range<UInt64> {
            for link in 1...64 as ClosedRange<UInt32> {
                let question = BlockQuestions.Question(
                    asker: address((link % 8) << 8), height: 0, responder: responder(link, stream))
                if questions.add(question) != nil { refused += 1 }
                while questions.next(now: now) != nil {}
            }
        }
        let held = questions.answering.count * BlockServer.answerLimit.bytes
        #expect(held == 2 << 20)
        #expect(questions.waitingCount <= BlockQuestions.waitingLimit)
        #expect(refused >= 64 * 64 - 8 - BlockQuestions.waitingLimit)
        let links = Set(questions.answering.map(\.question.responder.link))
        #expect(links.count == questions.answering.count, "one at a time on a link")
        // A link that does not read within five seconds gives way to those that wait.
        let none = questions.sweep(now: now + .seconds(4), isAnswering: { _ in true })
        #expect(none.isEmpty)
        now = now + .seconds(5)
        let late = questions.sweep(now: now, isAnswering: { _ in true })
        #expect(late.count == BlockQuestions.limit && questions.answering.isEmpty)
        #expect(questions.next(now: now) != nil)
    }

    @Test("s13: an address with many links has two answers at a time, and another is next")
    func questionsForBlocksAreShared() {
        let now = Instant(nanoseconds: 1_000_000_000_000)
        var questions = BlockQuestions()
        func ask(_ link: UInt32, _ asker: Asker) -> BlockQuestions.Question? {
            questions.add(.init(asker: asker, height: 1, responder: responder(link, UInt64(link))))
        }
        for link in 1...9 as ClosedRange<UInt32> { _ = ask(link, address(1)) }
        var answered: [LinkID] = []
        if let first = questions.next(now: now) { answered.append(first.responder.link) }
        for link in 10...30 as ClosedRange<UInt32> { _ = ask(link, address(1)) }
        let other = ask(100, address(2))
        #expect(other == nil)
        while let question = questions.next(now: now) { answered.append(question.responder.link) }
        #expect(answered == [1, 100, 2].map { LinkID(rawValue: $0) })
        // One more question may wait on a link while the link reads an answer.
        #expect(ask(100, address(2)) == nil)
        #expect(ask(100, address(2)) != nil)
        #expect(questions.next(now: now) == nil)
        let late = questions.sweep(now: now, isAnswering: { $0.link.rawValue != 100 })
        #expect(late.isEmpty)
        #expect(questions.next(now: now)?.responder.link.rawValue == 100)
        questions.linkDown(LinkID(rawValue: 1))
        #expect(questions.next(now: now)?.asker == address(1))
    }

    @Test("s13: a network of 256 sources has four answers at a time, and another network the next one")
    func answersOfANetwork() {
        let now = Instant(nanoseconds: 1_000_000_000_000)
        var questions = BlockQuestions()
        func ask(_ link: UInt32, _ asker: Asker) -> BlockQuestions.Question? {
            questions.add(.init(asker: asker, height: 1, responder: responder(link, UInt64(link))))
        }
        for link in 0..<256 as Range<UInt32> { #expect(ask(link, address(link)) == nil) }
        var answered = 0
        while questions.next(now: now) != nil { answered += 1 }
        #expect(answered == BlockQuestions.limitPerGroup)
        for link in 256..<260 as Range<UInt32> {
            _ = ask(link, address(link))
            #expect(questions.next(now: now)?.responder.link.rawValue == link)
        }
        #expect(questions.answering.count == BlockQuestions.limit)
    }

    @Test("s13: operations of a newcomer find a place beside those of 1,000 networks, and are handled next")
    func newcomersOperation() {
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var queue = LedgerQueue(now: now)
        // Each network has had a turn: 32 of them a second.
        for number in 0..<40_000 as Range<UInt32> {
            _ = queue.submit(event(.submit, 180, responder(1, UInt64(number))), by: address((number % 1_000) << 8))
            if number % 32 == 0 {
                now = now + .milliseconds(31)
                _ = queue.next(now: now)
            }
        }
        let newcomer = queue.submit(event(.submit, 180, responder(2, 0)), by: address(2_000 << 8))
        #expect(newcomer?.responder != responder(2, 0))
        now = now + .milliseconds(100)
        #expect(queue.next(now: now).contains { $0.responder == responder(2, 0) })
    }
}
