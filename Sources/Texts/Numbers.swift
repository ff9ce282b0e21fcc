/// A number with this many decimals.
package func numberText(_ value: Double, decimals: Int) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return "-" }
    let scale = (0..<decimals).reduce(1) { factor, _ in factor * 10 }
    let scaled = Int((value.magnitude * Double(scale)).rounded())
    let sign = value < 0 && scaled != 0 ? "-" : ""
    guard decimals > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % scale)
    return "\(sign)\(scaled / scale).\(String(repeating: "0", count: decimals - fraction.count))\(fraction)"
}

/// A number with about three digits; a dash for nil.
package func figureText(_ value: Double?) -> String {
    guard let value else { return "-" }
    return numberText(value, decimals: value >= 100 ? 0 : value >= 10 ? 1 : 2)
}

/// A number of bytes in the largest suitable unit: `0 B`, `1.5 kB`, `23 MB`.
package func byteText(_ count: UInt64) -> String {
    var value = Double(count)
    var unit = 0
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
    while value >= 999.5 && unit + 1 < units.count {
        value /= 1000
        unit += 1
    }
    return "\(numberText(value, decimals: unit > 0 && value < 9.95 ? 1 : 0)) \(units[unit])"
}

/// A time in seconds in words: `12 s`, `3 min`, `2 h 5 min`.
package func durationText(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "-" }
    let whole = Int(seconds)
    switch whole {
    case ..<120: return "\(whole) s"
    case ..<7200: return "\(whole / 60) min"
    case ..<172_800: return "\(whole / 3600) h \(whole % 3600 / 60) min"
    default: return "\(whole / 86_400) d \(whole % 86_400 / 3600) h"
    }
}

/// A credit in hours, minutes and seconds, such as `1:59:42`; hours may exceed 24.
package func creditText(_ seconds: UInt64) -> String {
    func two(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(seconds / 3_600):\(two(seconds % 3_600 / 60)):\(two(seconds % 60))"
}

/// The seconds of a time such as `90m`, `2h` or `1h30m`: numbers followed by h, m or s; nil for anything else and for
/// 0.
package func durationSeconds(_ text: String) -> UInt32? {
    var total: UInt64 = 0
    var number = ""
    for character in text {
        if character.isASCII, character.isNumber {
            number.append(character)
        } else {
            let unit: UInt64? = ["h": 3_600, "m": 60, "s": 1][character]
            guard let unit, let value = UInt32(number) else { return nil }
            let (sum, overflows) = total.addingReportingOverflow(UInt64(value) * unit)
            guard !overflows else { return nil }
            total = sum
            number = ""
        }
    }
    guard number.isEmpty, let seconds = UInt32(exactly: total), seconds > 0 else { return nil }
    return seconds
}
