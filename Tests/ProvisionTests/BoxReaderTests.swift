import Control
import Process
import Testing

@testable import Provision

@Suite struct BoxReaderTests {
    private func report(_ ids: [String], next: String, more: Bool) -> BoxReport {
        BoxReport(
            box: "box", replica: "node", outOfDate: false, next: next, more: more,
            entries: ids.map { id in
                var entry = BoxReport.Entry(offset: 0, kind: 2, deleted: false)
                entry.id = id
                entry.content = "00"
                return entry
            })
    }

    @Test func allPartsOfOneReplica() throws {
        var places: [String?] = []
        var reader = BoxReader(at: "node:0:0") { [self] place in
            places.append(place)
            return places.count < 3
                ? report(["\(places.count)"], next: "node:7:\(places.count)", more: true)
                : report(["3"], next: "node:7:3", more: false)
        }
        let all = try reader.readAll()
        #expect(all.entries.map(\.id) == ["1", "2", "3"] && all.entries.allSatisfy { $0.content == nil } && !all.more)
        #expect(places == ["node:0:0", "node:7:1", "node:7:2"])
    }

    @Test func aReplicaThatNumbersAnewIsNotMixed() {
        var count = 0
        var reader = BoxReader { [self] _ in
            count += 1
            return report(["\(count)"], next: "node:\(count):1", more: true)
        }
        #expect { try reader.readAll() } throws: { ($0 as? Failure)?.message.contains("number the box anew") == true }
    }

    @Test func endlessPartsEnd() {
        var count = 0
        var reader = BoxReader { [self] _ in
            count += 1
            return report((0..<1_000).map { "\(count) \($0)" }, next: "node:1:\(count)", more: true)
        }
        #expect { try reader.readAll() } throws: { ($0 as? Failure)?.message.contains("more than a box") == true }
        #expect(count == 66)
        // A replica that says "more" at the same place has said all.
        var still = BoxReader { [self] _ in report([], next: "node:1:1", more: true) }
        #expect((try? still.readAll())?.entries.isEmpty == true)
    }

    @Test func newItemsComeOnceAndAnyReplicaGoesOn() throws {
        var answers: [Result<BoxReport, Failure>] = [
            .success(report(["a", "b"], next: "one:1:2", more: true)),
            .success(report(["c"], next: "one:1:3", more: false)),
            .failure(Failure(.unavailable, "gone")),
            .success(report(["b", "d"], next: "two:1:2", more: false)),
            .failure(Failure(.unavailable, "gone")), .failure(Failure(.unavailable, "all are gone")),
        ]
        var places: [String?] = []
        var reader = BoxReader { place throws(Failure) in
            places.append(place)
            return try answers.removeFirst().get()
        }
        var read: [(ids: [String?], hasMore: Bool)] = []
        for _ in 0..<5 {
            let (entries, hasMore) = try reader.readNew()
            read.append((entries.map(\.id), hasMore))
        }
        #expect(read.map(\.ids) == [["a", "b"], ["c"], [], ["d"], []])
        #expect(read.map(\.hasMore) == [true, false, false, false, false])
        #expect(places == [nil, "one:1:2", "one:1:3", nil, "two:1:2"])
        #expect(throws: Failure.self) { try reader.readNew() }
    }
}
