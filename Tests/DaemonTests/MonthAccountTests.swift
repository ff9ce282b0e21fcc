import Control
import EventLoop
import Process
import Testing
import Wire

@testable import Daemon
@testable import Relay

/// 2026-03-01 at 0:00 UTC, and the length of a day.
private let march: UInt64 = 1_772_323_200
private let day: UInt64 = 86_400

@Suite struct MonthAccountTests {
    @Test(
        arguments: [
            (march, 1, march), (march - 1, 1, march - 28 * day), (march + 31 * day - 1, 1, march),
            (march + 31 * day, 1, march + 31 * day), (march, 28, march - day), (march + 14 * day, 15, march + 14 * day),
            (march + 14 * day - 1, 15, march - 14 * day), (march - 59 * day, 2, march - 89 * day), (0, 1, 0), (0, 2, 0),
        ] as [(UInt64, Int, UInt64)])
    func aMonthBeginsOnItsFirstDay(time: UInt64, firstDay: Int, begin: UInt64) {
        #expect(MonthAccount.monthStart(at: time, firstDay: firstDay) == begin)
    }

    @Test func bytesAreBookedToTheMonthAndKept() throws {
        let folder = try Folder()
        let account = MonthAccount(folder: folder.path)
        account.note(100, at: march + day)
        account.note(250, at: march + day + 1)
        #expect(account.bytes == 250)
        #expect(account.since == march)
        account.save()
        // The next process counts from its own start.
        let next = MonthAccount(folder: folder.path)
        next.note(30, at: march + 2 * day)
        next.note(40, at: march + 2 * day)
        #expect(next.bytes == 290)
        // A counter that goes back adds nothing.
        next.note(10, at: march + 2 * day)
        #expect(next.bytes == 290)
    }

    @Test func anotherMonthBeginsWithNothing() throws {
        let folder = try Folder()
        let account = MonthAccount(folder: folder.path)
        account.note(100, at: march - 1)
        account.note(150, at: march)
        #expect(account.since == march)
        #expect(account.bytes == 50)
        // The clock goes back past the start of the month, and the bytes booked before come back.
        account.note(160, at: march - 2)
        #expect(account.since == march - 28 * day)
        #expect(account.bytes == 160)
    }

    @Test func itIsWrittenOnceAMinute() throws {
        let folder = try Folder()
        let account = MonthAccount(folder: folder.path)
        account.note(1, at: march)
        #expect(!Files.exists("\(folder.path)/accounting"))
        account.note(2, at: march + 59)
        #expect(!Files.exists("\(folder.path)/accounting"))
        account.note(3, at: march + 60)
        #expect(try text(of: folder) == "\(march) 3 0 0\n")
        account.note(4, at: march + 61)
        #expect(try text(of: folder) == "\(march) 3 0 0\n")
        #expect(!Files.exists("\(folder.path)/accounting.new"))
    }

    @Test("a file that cannot be read or written is told, and a missing one is not") func failures() throws {
        let folder = try Folder()
        #expect(MonthAccount(folder: folder.path).failure == nil)
        try folder.write("accounting", String(repeating: "1 2\n", count: 100))
        #expect(MonthAccount(folder: folder.path).failure?.code == .data)
        let account = MonthAccount(folder: "\(folder.path)/none")
        account.note(1, at: march)
        account.save()
        #expect(account.failure?.code == .noInput)
    }

    private func text(of folder: Folder) throws -> String {
        String(decoding: try Files.read("\(folder.path)/accounting", limit: 256), as: UTF8.self)
    }

    @Test(
        arguments: [
            ("\(march) 7\n", 8), ("\(march) 7 1 2\n", 8), ("", 1), ("x y\n", 1), ("\(march) -7\n", 1),
            ("\(march)\n", 1),
            ("\(march) 9223372036854775808\n", 1), ("1 2 3\n", 1),
        ] as [(String, UInt64)])
    func aDamagedFileBeginsAnew(text: String, bytes: UInt64) throws {
        let folder = try Folder()
        try folder.write("accounting", text)
        let account = MonthAccount(folder: folder.path)
        account.note(1, at: march + 5)
        #expect(account.bytes == bytes)
    }

    @Test func theLimitIsReachedByItsLastByte() throws {
        let folder = try Folder()
        let account = MonthAccount(folder: folder.path)
        account.note(1_000, at: march)
        #expect(!account.isUsedUp)
        account.limit(try settings("[relay]\nmonthly_limit = 1001"))
        #expect(!account.isUsedUp)
        account.limit(try settings("[relay]\nmonthly_limit = 1000"))
        #expect(account.isUsedUp)
        #expect(account.limit == 1_000)
        account.limit(try settings("[relay]\nmonthly_limit = 0"))
        #expect(!account.isUsedUp)
        #expect(account.limit == nil)
    }

    @Test("A month's bytes last until it ends: at full speed for a day's part, then at the pace of what is left")
    func pace() throws {
        let folder = try Folder()
        let account = MonthAccount(folder: folder.path)
        account.limit(try settings("[relay]\nmonthly_limit = \(31 * day * 1_000_000)"))
        // Without traffic the parts of a day gather, and no more.
        for hour in 0...48 as ClosedRange<UInt64> {
            account.note(0, at: march + hour * 3_600)
            #expect(account.pace(at: march + hour * 3_600) == nil)
        }
        let then = march + 2 * day
        var total = 2 * day * 1_000_000
        account.note(total, at: then)
        // 29 of 31 parts are left for 29 days.
        #expect(account.pace(at: then) == 1_000_000)
        // Who keeps to the pace comes to the end of the month with a little left.
        for second in stride(from: then + 60, to: march + 31 * day - 3_600, by: 60) {
            total += (account.pace(at: second) ?? 10_000_000) * 60
            account.note(total, at: second)
        }
        #expect(!account.isUsedUp && account.bytes > 28 * day * 1_000_000)
    }

    @Test("In the last day a quarter of what is left passes at full speed, so that the month does not end early")
    func lastDay() throws {
        let folder = try Folder()
        let account = MonthAccount(folder: folder.path)
        account.limit(try settings("[relay]\nmonthly_limit = \(31 * day * 1_000_000)"))
        account.note(0, at: march)
        account.note(59 * day * 500_000, at: march + 29 * day + day / 2)
        account.note(59 * day * 500_000, at: march + 30 * day + day / 2)
        #expect(account.pace(at: march + 30 * day + day / 2) == nil)
        var (total, second) = (59 * day * 500_000, march + 30 * day + day / 2)
        while account.pace(at: second) == nil, second < march + 31 * day {
            (total, second) = (total + 100_000_000, second + 1)
            account.note(total, at: second)
        }
        #expect(!account.isUsedUp && total < 60 * day * 500_000)
        #expect(account.pace(at: second) ?? 0 > 1_500_000)
    }

    @Test("A start of the process brings an hour's part") func paceAfterAStart() throws {
        let folder = try Folder()
        let account = MonthAccount(folder: folder.path)
        account.limit(try settings("[relay]\nmonthly_limit = \(31 * day * 1_000_000)"))
        account.note(0, at: march)
        account.note(3_700 * 1_000_000, at: march + 1)
        #expect(account.pace(at: march + 1) != nil)
        account.note(3_700 * 1_000_000, at: march + 200)
        #expect(account.pace(at: march + 200) == nil)
    }
}

extension ProcessTests {
    @Suite struct RestTests {
        @Test func aRelayRestsWhileTheMonthHasNoBytes() throws {
            let lines = "[relay]\nlisten = ['127.0.0.1:0']\n[web]\nlisten = 'off'\n[log]\nlevel = 'critical'\n"
            let running = try Running(lines)
            defer { running.end() }
            let relay = try #require(running.relay)
            relay.account.note(5_000, at: currentTime().seconds)
            relay.everySecond()
            #expect(!relay.relay.isResting)
            _ = try running.reload(lines.replacing("[web]", with: "monthly_limit = '5 kB'\n[web]"))
            // The reload changes the limit; the next second acts on it.
            #expect(!relay.relay.isResting)
            relay.everySecond()
            #expect(relay.relay.isResting)
            #expect(!relay.report().ready)
            #expect(relay.report().problem?.contains("rests") == true)
            #expect(relay.report().monthLimit == 5_000)
            // A report changes nothing.
            let before = relay.account.bytes
            _ = relay.report()
            #expect(relay.account.bytes == before)
            _ = try running.reload(lines)
            relay.everySecond()
            #expect(!relay.relay.isResting)
        }
    }
}
