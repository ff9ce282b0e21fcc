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

    // MARK: Operations

    @Test("the longest operation can be handed in: a verdict with the votes of a whole quorum") func longestOperation()
    {
        let size = RegistryOperation.maximumSize
        #expect(LedgerMessage.submit.longestBody == size)
    }
}
