import Testing
import Wire

@testable import Client

/// An exit that fails whatever it is asked for.
@Suite struct FailedHostsTests {
    private func at(_ seconds: Int) -> Instant { Instant(nanoseconds: UInt64(seconds) * 1_000_000_000) }
    private func host(_ number: Int) -> Destination.Host { .name(HostName("h\(number).example")!) }

    @Test("L11: eight hosts that fail over half a minute are too many") func l11Hosts() {
        var failed = FailedHosts()
        for number in 0..<8 {
            failed.failed(host(number), at: at(number))
            #expect(!failed.isTooMany(at: at(29)))
        }
        #expect(failed.isTooMany(at: at(30)))
    }

    @Test("L11: a host that fails again and again counts once") func l11OneHost() {
        var failed = FailedHosts()
        for number in 0..<100 { failed.failed(host(number % 7), at: at(number)) }
        #expect(!failed.isTooMany(at: at(1_000)))
    }

    @Test("L11: what succeeds clears the exit") func l11Success() {
        var failed = FailedHosts()
        for number in 0..<8 { failed.failed(host(number), at: at(number)) }
        failed.succeeded()
        #expect(!failed.isTooMany(at: at(100)))
        for number in 0..<8 { failed.failed(host(number), at: at(100 + number)) }
        #expect(!failed.isTooMany(at: at(129)) && failed.isTooMany(at: at(130)))
    }
}
