internal import Glibc
package import Wire

/// The wall clock.
package func currentTime() -> UnixTime { UnixTime(seconds: UInt64(max(0, time(nil)))) }

/// The wall clock to one second in UTC, such as `2026-03-01T12:00:00Z`.
package func timestampText() -> String {
    var now = time(nil)
    var parts = unsafe tm()
    unsafe gmtime_r(&now, &parts)
    func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let date = unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
    return unsafe "\(date)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
}
