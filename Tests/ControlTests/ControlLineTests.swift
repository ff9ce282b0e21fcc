import Testing

@testable import Control

private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite struct ControlLineTests {
    @Test func pathsReportHasExactlyTheseFields() {
        let report = PathsReport(paths: [
            .init(
                hops: ["a.snode", "b.snode"], state: "ready", active: true, age: 1.234, guardRoundTrip: 0.21,
                roundTrip: 0.41234, buildTime: 2, bytesIn: 1, bytesOut: 2),
            .init(
                hops: [], state: "building", active: false, age: 0, guardRoundTrip: nil, roundTrip: nil, buildTime: nil,
                bytesIn: 0, bytesOut: 0),
        ])
        #expect(
            json(report)
                == #"{"paths":[{"active":true,"age_s":1.2,"build_ms":2,"bytes_in":1,"bytes_out":2,"guard_rtt_ms":0.21,"#
                + #""hops":["a.snode","b.snode"],"rtt_ms":0.412,"state":"ready"},{"active":false,"age_s":0,"#
                + #""build_ms":null,"bytes_in":0,"bytes_out":0,"guard_rtt_ms":null,"hops":[],"rtt_ms":null,"#
                + #""state":"building"}]}"#)
        #expect(ControlLine.decode(PathsReport.self, from: Array(json(report).utf8)) == report)
    }

    @Test func statusReportSurvivesTheWay() {
        var report = StatusReport(role: .relay, version: "1.2.3")
        report.problem = "no \"node\" answers\n"
        report.drops = ["replayed": 3]
        report.refusals = [:]
        report.total = .init(packetsIn: .max, packetsOut: 1, bytesIn: 2, bytesOut: 3)
        let line = ControlLine.encode(report)
        #expect(line.filter { $0 == ControlLine.newline }.count == 1)
        #expect(ControlLine.decode(StatusReport.self, from: line.dropLast()) == report)
    }

    @Test(arguments: [
        "", "{", "[]", "status", "null", #"{"command":1}"#, #"{"Command":"status"}"#, "{\"command\":\"\u{0}\"",
        String(repeating: "[", count: 4000),
    ])
    func whatIsNoRequestIsRefused(line: String) {
        let answer = ControlLine.answered(to: Array(line.utf8)) { _, _ in
            Issue.record("the provider is not asked")
            return .refusal("")
        }
        #expect(text(answer).hasPrefix(#"{"error":"#) && answer.last == ControlLine.newline)
    }

    @Test func anUnknownCommandIsRefusedWithTheKnownOnes() {
        let answer = ControlLine.answered(to: Array(#"{"command":"stop"}"#.utf8)) { _, _ in .refusal("") }
        let known = ControlCommand.allCases.map(\.rawValue).joined(separator: ", ")
        #expect(text(answer) == "{\"error\":\"unknown command; the commands are: \(known)\"}\n")
    }

    @Test func aCommandReachesTheProvider() {
        let answer = ControlLine.answered(to: Array(#"{"command":"paths","more":1}"#.utf8)) { command, _ in
            command == .paths ? .paths(.init(paths: [])) : .refusal("other")
        }
        #expect(text(answer) == "{\"paths\":[]}\n")
        let refused = ControlLine.answered(to: Array(#"{"command":"paths"}"#.utf8)) { _, _ in .refusal("a relay") }
        #expect(text(refused) == "{\"error\":\"a relay\"}\n")
    }
}

@Suite struct LineBufferTests {
    @Test func linesComeOutHoweverTheyAreCut() {
        let input = Array("one\n\ntwo\nrest".utf8)
        for cut in 0...input.count {
            var buffer = LineBuffer(limit: 8)
            var lines: [String] = []
            for part in [input[..<cut], input[cut...]] {
                unsafe buffer.append(Array(part).span.bytes)
                while let line = buffer.next() { lines.append(text(line)) }
            }
            #expect(lines == ["one", "", "two"] && !buffer.isEmpty && !buffer.isOverlong)
        }
    }

    @Test func aLineOfTheLimitPassesAndALongerOneDoesNot() {
        var buffer = LineBuffer(limit: 4)
        unsafe buffer.append(Array("1234\n".utf8).span.bytes)
        #expect(buffer.next().map(text) == "1234")
        unsafe buffer.append(Array("1234".utf8).span.bytes)
        #expect(!buffer.isOverlong)
        unsafe buffer.append(Array("5".utf8).span.bytes)
        #expect(buffer.isOverlong && buffer.next() == nil)
        unsafe buffer.append(Array("\nok\n".utf8).span.bytes)
        #expect(buffer.next() == nil)
    }

    @Test func waitingRequestsAreBounded() {
        var buffer = LineBuffer(limit: 4)
        unsafe buffer.append(Array("1\n2\n3\n4\n5\n6\n".utf8).span.bytes)
        #expect(buffer.isOverlong)
    }
}

@Suite struct TrafficMeterTests {
    @Test func theRateIsThatOfTheLastTenSeconds() {
        var meter = TrafficMeter()
        #expect(meter.rate == .init())
        for second in 0..<30 as Range<UInt64> {
            meter.record(
                .init(packetsIn: second * 10, bytesOut: second < 25 ? 0 : (second - 24) * 1000),
                at: second * 1_000_000_000)
        }
        #expect(meter.rate == .init(packetsIn: 10, bytesOut: 500))
    }

    @Test func oneSampleOrAStandingClockHasNoRate() {
        var meter = TrafficMeter()
        meter.record(.init(packetsIn: 5), at: 7)
        #expect(meter.rate == .init())
        meter.record(.init(packetsIn: 9), at: 7)
        #expect(meter.rate == .init())
    }
}
