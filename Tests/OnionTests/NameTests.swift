import Onion
import Testing
import Wire

/// The names of reasons in status, metrics and dashboards do not change with the names in the source.
struct NameTests {
    @Test("V3: names of drops and refusals are literals")
    func v3NamesOfReasons() {
        #expect(
            DropReason.allCases.map(\.name) == [
                "unknownPath", "notReady", "beforeStart", "replayed", "wrongEpoch", "badTag", "exhausted",
            ])
        #expect(
            BuildStatus.allCases.map(\.name) == [
                "ready", "overloaded", "unknownNextHop", "nextHopUnreachable", "draining", "suiteUnavailable",
                "nextHopFailed", "timeInvalid",
            ])
        #expect(
            BuildFault.allCases.map(\.name) == [
                "size", "unknownKey", "unreadable", "malformed", "replayed",
            ])
    }
}
