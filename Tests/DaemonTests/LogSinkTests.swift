import Logging
import Settings
import Testing

@testable import Daemon

@Suite struct LogSinkTests {
    @Test func theLastLinesAreKept() {
        let sink = LogSink()
        for number in 0..<1_000 { sink.keep("\(number)") }
        #expect(sink.lines.count <= 200)
        #expect(sink.lines.last == "999")
        let numbers = sink.lines.compactMap { Int($0) }
        #expect(numbers == Array(numbers[0]...999))
    }

    @Test func levelAndFormatAreThoseOfTheSettings() throws {
        let sink = LogSink()
        sink.apply(try settings("[log]\nlevel = 'debug'\nformat = 'json'"))
        #expect(sink.level == .debug && sink.isJSON)
        sink.apply(Settings())
        #expect(sink.level == .notice && !sink.isJSON)
    }
}
