import Directory
import Testing
import Wire

@testable import Relay

/// What a question for the certified list costs.
@Suite struct ListAnswerTests {
    private static func id(_ tag: UInt64, _ number: UInt64) -> Bytes32 {
        var writer = ByteWriter()
        for value in [number, tag, 1, 1] { writer.u64(value) }
        return Bytes32(copying: writer.bytes.rawSpan)
    }

    private func snapshot(_ nodes: Range<UInt64>, height: UInt64) throws -> Snapshot {
        let entries = nodes.map {
            Snapshot.Entry(node: NodeID(Self.id(1, $0)), operatorID: Self.id(2, $0), weight: 1, placement: 0)
        }
        return try #require(
            Snapshot(network: Self.id(3, 3), height: height, time: UnixTime(seconds: 1), entries: entries))
    }

    @Test("s11: that a list has too few signatures is found once for each list and snapshot, whoever asks how often")
    func s11_refusalsAreKept() throws {
        let (first, next) = (try snapshot(0..<6, height: 1), try snapshot(1..<7, height: 2))
        let schedule = ListSchedule(epoch: 3_600)
        let time = UnixTime(seconds: 1_800_000_000)
        var signing = ListSigning(
            network: Self.id(3, 3), schedule: schedule, snapshot: first, digest: first.digest)
        signing.advance(to: time)
        let list = try #require(
            DescriptorList(
                round: schedule.round(at: time), height: 1, snapshot: first.digest, hashes: [Self.id(4, 4)]))
        let bytes = [UInt8](repeating: 7, count: 64)
        let signatures = first.voters.prefix(5).map { SignedSnapshot.Signature(signer: $0, bytes: bytes) }
        signing.take(
            checked: SignedDescriptorList(list, signatures: Array(signatures)), digest: list.digest, descriptors: [:])

        var answer = ListAnswer()
        var looks = 0
        func ask(under snapshot: Snapshot) throws -> [UInt8] {
            let certified = try #require(signing.certified)
            return answer.bytes(of: certified, under: snapshot.digest) {
                looks += 1
                return snapshot.voters
            }
        }
        for _ in 0..<1_000 { #expect(try !ask(under: first).isEmpty) }
        #expect(looks == 1)
        // One of the five signers is gone, and five of six are needed.
        for _ in 0..<1_000 { #expect(try ask(under: next).isEmpty) }
        #expect(looks == 2)
        // The last signature comes after all.
        _ = signing.add([SignatureItem(place: 5, bytes: bytes)], for: list.digest)
        for _ in 0..<1_000 { #expect(try !ask(under: next).isEmpty) }
        #expect(looks == 3)
    }
}
