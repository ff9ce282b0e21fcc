internal import Control
internal import FoundationEssentials
internal import Glibc
internal import Process
internal import Settings

/// The bytes that a relay has sent and received in this month, kept in its data folder across restarts.
final class MonthAccount {
    /// The file in the data folder: the start and bytes of this month, then of the month before, in decimal.
    private static let name = "accounting"
    /// How often the file is written, in seconds.
    private static let interval: UInt64 = 60

    private let path: String
    /// When the month began, in seconds since 1970.
    private(set) var since: UInt64 = 0
    /// Bytes sent and received since then.
    private(set) var bytes: UInt64 = 0
    /// The month before, for a clock that goes back into it.
    private var before: (since: UInt64, bytes: UInt64) = (0, 0)
    private var counted: UInt64?
    /// The bytes that may pass at full speed now: what the month's pace has left over in the last day.
    private var free: Double?
    private var notedAt: UInt64 = 0
    /// The limit of bytes in a month; nil: none.
    private(set) var limit: UInt64?
    /// The day on which a month begins.
    private(set) var firstDay = 1
    private var saved: UInt64 = 0
    /// The failure of the last access to the file; nil if it succeeded, or if there was no file yet.
    private(set) var failure: Failure?

    /// The account in the folder; it begins anew if its file cannot be read, or is damaged.
    init(folder: String) {
        path = "\(folder)/\(Self.name)"
        var text = ""
        do throws(Failure) {
            text = String(decoding: try Files.read(path, limit: 256), as: UTF8.self)
        } catch {
            if error.code != .noInput { failure = error }
        }
        // Limited, so that later additions cannot overflow.
        let numbers = text.split(whereSeparator: { $0 == " " || $0 == "\n" }).compactMap { Int64($0) }
        if numbers.count == 2 || numbers.count == 4, numbers.allSatisfy({ $0 >= 0 }) {
            (since, bytes) = (UInt64(numbers[0]), UInt64(numbers[1]))
            if numbers.count == 4 { before = (UInt64(numbers[2]), UInt64(numbers[3])) }
        }
    }

    /// Applies the settings' limit and first day from now on.
    func limit(_ settings: Settings) {
        let wanted = settings.number("relay.monthly_limit")
        limit = wanted > 0 ? UInt64(wanted) : nil
        firstDay = Int(settings.number("relay.month_start"))
    }

    /// Whether the month has no bytes left.
    var isUsedUp: Bool { limit.map { bytes >= $0 } ?? false }

    /// Takes the number of bytes since the process started, at `now` in seconds since 1970.
    func note(_ total: UInt64, at now: UInt64) {
        let begin = Self.monthStart(at: now, firstDay: firstDay)
        if begin > since {
            (before, since, bytes) = ((since, bytes), begin, 0)
        } else if begin < since {
            // The clock was ahead before, or is behind now.
            (since, bytes) = (begin, begin == before.since ? bytes + before.bytes : bytes)
        }
        let news = total - min(counted ?? 0, total)
        bytes += news
        counted = total
        notePace(news, at: now)
        if now >= saved + Self.interval {
            if saved > 0 { save() }
            saved = now
        }
    }

    /// The bytes per second, in and out, that last until the month ends; nil without a limit.
    private func lastingPace(at now: UInt64) -> Double? {
        guard let limit else { return nil }
        let end = Self.monthStart(at: since + 32 * Self.day, firstDay: firstDay)
        return Double(limit - min(bytes, limit)) / Double(max(end - min(now, end), 1))
    }

    private func notePace(_ news: UInt64, at now: UInt64) {
        guard let lasting = lastingPace(at: now) else {
            free = nil
            return
        }
        let age = Double(now - min(notedAt, now))
        // A start brings no more than an hour's part, and what passed beyond the free bytes is a debt of no more.
        let hour = 3_600 * lasting
        let level = free.map { $0 + age * lasting - Double(news) } ?? hour
        // Near the end of the month a day's part is all that is left, which must not pass within an hour.
        free = min(max(level, -hour), 24 * hour, Double(limit.map { $0 - min(bytes, $0) } ?? 0) / 4)
        notedAt = now
    }

    /// The bytes per second, in and out, that the relay may carry now: nil while the month's pace has left some over.
    ///
    /// So the bytes last until the month ends, and a node need not rest, which its testers would count against it.
    func pace(at now: UInt64) -> UInt64? {
        guard let free, free <= 0, let lasting = lastingPace(at: now) else { return nil }
        return max(UInt64(lasting), Self.leastPace)
    }

    private static let day: UInt64 = 86_400
    /// The least pace, at which the node still serves.
    private static let leastPace: UInt64 = 200_000

    /// Writes the file completely or not at all; a full disk loses no more than this update.
    func save() {
        guard since > 0 else { return }
        let text = "\(since) \(bytes) \(before.since) \(before.bytes)\n"
        do throws(Failure) {
            // The loop does not wait for the disk.
            try Files.replace(path, Array(text.utf8), mode: 0o644, isForced: false)
            failure = nil
        } catch {
            // It is tried again in a minute.
            failure = error
        }
    }

    /// The start of the month of `time`: 0:00 UTC of its first day.
    static func monthStart(at time: UInt64, firstDay: Int) -> UInt64 {
        var seconds = time_t(time)
        var parts = unsafe tm()
        unsafe gmtime_r(&seconds, &parts)
        if unsafe Int(parts.tm_mday) < firstDay { unsafe parts.tm_mon -= 1 }
        unsafe parts.tm_mday = Int32(firstDay)
        unsafe (parts.tm_hour, parts.tm_min, parts.tm_sec) = (0, 0, 0)
        return unsafe UInt64(max(0, timegm(&parts)))
    }
}
