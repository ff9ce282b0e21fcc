import Link
import OnionCrypto
import Registry
import Testing
import Wire

@testable import Directory
@testable import Links
@testable import Relay

/// Limits on what questions of strangers and of nodes cost a relay, in simulated time.
@Suite struct AnswersTests {
    private let time = Instant(nanoseconds: 1_000_000_000)

    private static func number(_ tag: UInt64, _ number: UInt64) -> Bytes32 {
        var writer = ByteWriter()
        for value in [number, tag, 1, 1] { writer.u64(value) }
        return Bytes32(copying: writer.bytes.rawSpan)
    }

    private static func client(_ host: UInt32) -> LinkSource {
        .client(AddressShare(IPAddress(v4: 0x0909_0000 + host)))
    }

    // MARK: Signatures

    private func collection(_ height: UInt64) throws -> Signatures<Snapshot> {
        let entries = (0..<40 as Range<UInt64>).map {
            Snapshot.Entry(node: NodeID(Self.number(1, $0)), operatorID: Self.number(2, $0), weight: 1, placement: 0)
        }
        let snapshot = try #require(
            Snapshot(network: Self.number(3, 3), height: height, time: UnixTime(seconds: 1), entries: entries))
        return Signatures(snapshot, voters: snapshot.voters)
    }

    private func sign(_ places: Range<Int>, _ collection: inout Signatures<Snapshot>) {
        for place in places { _ = collection.add(SignatureItem(place: place, bytes: [UInt8](repeating: 7, count: 64))) }
    }

    private func ask(
        _ answers: inout SignatureAnswers, _ collection: Signatures<Snapshot>, having bitmap: [UInt8] = [],
        _ source: LinkSource, at time: Instant
    ) -> Int {
        let bytes = answers.answer(
            collection, without: bitmap, to: source, byteLimit: 660_000, now: time, isCollected: { _ in true })
        return bytes.count / SignatureItem.size
    }

    @Test("s13: strangers who ask for signatures get those that are encoded once a second")
    func s13_signaturesForStrangers() throws {
        var (one, other) = (try collection(2), try collection(3))
        sign(0..<30, &one)
        sign(0..<30, &other)
        var answers = SignatureAnswers(now: time)
        #expect(ask(&answers, one, Self.client(1), at: time) == 30)
        #expect(ask(&answers, other, Self.client(1), at: time) == 30)
        sign(30..<35, &one)
        sign(30..<36, &other)
        // Nothing is encoded for a stranger, whatever it claims to have and whichever digest it asks for.
        for host in 0..<400 as Range<UInt32> {
            let soon = time + .milliseconds(Int64(host))
            let bitmap = [UInt8](repeating: UInt8(host & 0xff), count: 5)
            #expect(ask(&answers, one, having: bitmap, Self.client(host), at: soon) == 30)
            #expect(ask(&answers, other, having: bitmap, Self.client(host), at: soon) == 30)
        }
        #expect(ask(&answers, one, Self.client(1), at: time + .seconds(1)) == 35)
        #expect(ask(&answers, other, Self.client(1), at: time + .seconds(1)) == 36)
    }

    @Test("s13: a node gets the signatures that it lacks, at a rate; beyond it all that there are")
    func s13_signaturesForNodes() throws {
        var one = try collection(2)
        sign(0..<39, &one)
        var answers = SignatureAnswers(now: time)
        let bitmap = [UInt8](repeating: 0xff, count: 4)
        func made(for node: UInt64, _ questions: Int, at time: Instant) -> Int {
            (0..<questions).count { _ in ask(&answers, one, having: bitmap, .node(Self.number(1, node)), at: time) == 7
            }
        }
        let first = made(for: 1, 1_000, at: time)
        #expect((SignatureAnswers.rate...SignatureAnswers.rate * 2).contains(first))
        // Another node has its own rate in the same second.
        #expect(made(for: 2, 10, at: time) == 10)
        #expect(made(for: 1, 10, at: time + .seconds(5)) == 10)
    }

    // MARK: Snapshots

    private func question(_ height: UInt64, link: UInt32 = 1, stream: UInt64 = 0) -> SnapshotAnswers.Question {
        SnapshotAnswers.Question(
            height: height, digest: Self.number(4, height),
            responder: ControlResponder(link: LinkID(rawValue: link), stream: stream))
    }

    @Test("s13: questions for snapshots have a share for each asker, and those that are given up cost nothing")
    func s13_snapshotQuestions() {
        var answers = SnapshotAnswers()
        var refused = 0
        for height in 0..<300 as Range<UInt64> {
            if answers.add(question(height, stream: height), from: Asker(Self.client(1))) != nil { refused += 1 }
        }
        #expect(refused == 284 && answers.waitingCount == 16)
        // After a flood from many addresses, the next address still gets a place.
        for host in 2..<102 as Range<UInt32> {
            for height in 0..<16 as Range<UInt64> {
                _ = answers.add(question(height, link: host), from: Asker(Self.client(host)))
            }
        }
        #expect(answers.waitingCount == 256)
        let newcomer = question(5, link: 1_000)
        #expect(answers.add(newcomer, from: Asker(Self.client(1_000)))?.responder.link.rawValue != 1_000)
        // All the others have given up. The newcomer's turn comes before their later ones.
        let isWaiting = { (responder: ControlResponder) in responder.link.rawValue == 1_000 }
        let next = answers.next(isAnswering: isWaiting)
        #expect(next?.responder == newcomer.responder && answers.waitingCount > 0)
        #expect(answers.next(isAnswering: isWaiting) == nil && answers.waitingCount == 0)
    }

    @Test("s13: of the kept answers those go that nobody has asked for longest") func s13_keptAnswers() {
        var answers = SnapshotAnswers()
        let part = [UInt8](repeating: 1, count: SnapshotAnswers.keptBytes / 4)
        for height in 0..<1_000 as Range<UInt64> {
            answers.keep(part, at: height)
            // The answer that honest nodes ask for stays, though others go.
            #expect(answers.answer(at: 0) != nil)
        }
        let kept = (0..<1_000 as Range<UInt64>).filter { answers.answer(at: $0) != nil }
        #expect(kept == [0, 997, 998, 999])
        let long = [UInt8](repeating: 1, count: SnapshotAnswers.keptBytes * 2)
        answers.keep(long, at: 2_000)
        #expect(answers.answer(at: 2_000) == long && answers.answer(at: 0) == nil)
        answers.forget()
        #expect(answers.answer(at: 2_000) == nil)
    }

    // MARK: Turns

    @Test("s13: askers take turns, so that a flood of one delays another's question by one answer")
    func s13_turnsOfAskers() {
        var queue = SharedQueue<Int>(capacity: 256, most: 16, freely: 128)
        for number in 0..<100 { _ = queue.add(number, from: Asker(Self.client(1))) }
        #expect(queue.take()?.request == 0)
        #expect(queue.add(1_000, from: Asker(Self.client(2))) == nil)
        #expect(queue.add(1_001, from: Asker(Self.client(2))) == nil)
        #expect(queue.first == 1)
        // One of each, and each asker's in order; who asks again after his turn waits for the others' turns.
        #expect((0..<3).map { _ in queue.take()?.request } == [1, 1_000, 2])
        #expect(queue.add(1_002, from: Asker(Self.client(3))) == nil)
        #expect((0..<4).map { _ in queue.take()?.request } == [1_001, 3, 1_002, 4])
    }

    @Test("s13: of many sources that flood, none delays a newcomer by more than one answer", arguments: [1, 5, 40])
    func s13_turnsOfMany(sources: UInt32) {
        var queue = SharedQueue<UInt32>(capacity: 256, most: 16, freely: 128)
        for number in 0..<400 as Range<UInt32> {
            _ = queue.add(number % sources, from: Asker(Self.client(number % sources)))
        }
        for _ in 0..<10 {
            _ = queue.take()
            // Those that were served ask again at once.
            for source in 0..<sources { _ = queue.add(source, from: Asker(Self.client(source))) }
        }
        let dropped = queue.add(7_777, from: Asker(Self.client(7_777)))
        #expect(dropped != 7_777)
        var before: [UInt32: Int] = [:]
        while let next = queue.take()?.request, next != 7_777 { before[next, default: 0] += 1 }
        #expect(before.count <= Int(sources) && before.values.allSatisfy { $0 <= 2 })
    }

    @Test("s13: a request whose turn was long ago gives later ones of others no turn before those that wait")
    func s13_oldTurns() {
        var queue = SharedQueue<Int>(capacity: 64, most: 16)
        for number in 0..<2 { _ = queue.add(number, from: Asker(Self.client(1))) }
        for number in 10..<20 { _ = queue.add(number, from: Asker(Self.client(2))) }
        // The first asker may not be answered now, and the other one is, in eight rounds.
        for number in 10..<18 { #expect(queue.take { $1 >= 10 }?.request == number) }
        #expect(queue.take()?.request == 0)
        // A newcomer has its turn behind one request of the other, as before.
        _ = queue.add(30, from: Asker(Self.client(3)))
        #expect(queue.take { $1 >= 10 }?.request == 18)
        #expect(queue.take { $1 >= 10 }?.request == 30)
    }

    @Test("s13: what the condition refuses keeps its turn") func s13_turnsThatWait() {
        var queue = SharedQueue<Int>(capacity: 8, most: 4)
        for number in 0..<4 { _ = queue.add(number, from: Asker(Self.client(1))) }
        for number in 10..<14 { _ = queue.add(number, from: Asker(Self.client(2))) }
        #expect((0..<2).map { _ in queue.take { $1 >= 10 }?.request } == [10, 11])
        #expect(queue.add(14, from: Asker(Self.client(2))) == nil)
        #expect((0..<3).map { _ in queue.take()?.request } == [0, 1, 2])
        #expect(queue.count == 4)
        // What is removed was nobody's turn: a newcomer is behind one request of each, not behind all of them.
        queue.remove { $0 >= 10 }
        #expect(queue.count == 1)
        for number in 20..<24 { _ = queue.add(number, from: Asker(Self.client(4))) }
        for number in 30..<33 { _ = queue.add(number, from: Asker(Self.client(3))) }
        queue.remove { $0 >= 30 }
        #expect(queue.add(40, from: Asker(Self.client(5))) == nil)
        #expect((0..<3).map { _ in queue.take()?.request } == [3, 20, 40])
    }

    // MARK: Operations

    @Test("the longest operation can be handed in: a verdict with the votes of a whole quorum") func longestOperation()
    {
        let size = RegistryOperation.maximumSize
        #expect(LedgerMessage.submit.longestBody == size)
    }
}
