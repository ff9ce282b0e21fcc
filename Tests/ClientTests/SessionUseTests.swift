import Testing
import Wire

@testable import Client

/// How long a session with given streams lives.
@Suite struct SessionUseTests {
    /// Has `use` look five times a second from `start` for `span`; returns the time at which the session was over.
    private func run(
        _ use: inout SessionUse, from start: Instant, for span: TimeSpan, users: Int = 0, open: Int = 0,
        hasRoom: Bool = true, isRetired: Bool = false
    ) -> TimeSpan? {
        var now = start
        while now - start <= span {
            use.look(users: users, open: open, hasRoom: hasRoom, at: now)
            if use.isOver(isRetired: isRetired) { return now - start }
            now = now + .milliseconds(200)
        }
        return nil
    }

    private let start = Instant(nanoseconds: 1_000_000_000)

    @Test("R3: a session ends ten minutes after its last user, a minute later if the exit never ends its streams")
    func idleSessions() {
        for open in [0, 1, 4_096] {
            var use = SessionUse()
            #expect(run(&use, from: start, for: .seconds(3_000), users: 1, open: open + 1) == nil)
            #expect(use.idleSince == nil)
            let begin = start + .seconds(3_001)
            let over = run(&use, from: begin, for: .seconds(3_000), open: open)
            let linger = open == 0 ? TimeSpan.zero : SessionUse.lingerLimit
            #expect(over == SessionUse.idleLimit + linger + .milliseconds(200))
            #expect(use.idleSince == begin + linger)
        }
    }

    @Test("R3: a retired session ends with its last stream, and within a minute where the exit never ends it")
    func retiredSessions() {
        var use = SessionUse()
        #expect(run(&use, from: start, for: .seconds(900), users: 1, open: 1, isRetired: true) == nil)
        var ending = use
        #expect(run(&ending, from: start + .seconds(901), for: .seconds(900), isRetired: true) == .zero)
        #expect(
            run(&use, from: start + .seconds(901), for: .seconds(900), open: 1, isRetired: true)
                == SessionUse.lingerLimit)
    }

    @Test("R3: an app that comes while streams still end, or later, keeps the session")
    func usedAgain() {
        var use = SessionUse()
        var now = start
        for _ in 0..<40 {
            #expect(run(&use, from: now, for: .seconds(599), open: 0) == nil)
            now = now + .seconds(600)
            #expect(run(&use, from: now, for: .seconds(1), users: 1, open: 1) == nil)
            #expect(use.idleSince == nil)
            now = now + .seconds(2)
        }
    }

    @Test("R3: an exit that gives no room for streams is left after ten seconds; one that is late is waited for")
    func sessionsWithoutRoom() {
        var use = SessionUse()
        _ = run(&use, from: start, for: .milliseconds(9_800), users: 1, open: 9, hasRoom: false)
        #expect(!use.lacksRoom)
        var late = use
        _ = run(&late, from: start + .seconds(10), for: .zero, users: 1, open: 9)
        _ = run(&late, from: start + .seconds(11), for: .seconds(9), users: 1, open: 9, hasRoom: false)
        #expect(!late.lacksRoom)
        _ = run(&use, from: start + .seconds(10), for: .zero, users: 1, open: 9, hasRoom: false)
        #expect(use.lacksRoom)
    }
}
