/// Amounts of the registry as people write them: in SESH, with up to nine decimals.
package enum Amount {
    private static let unit: UInt64 = 1_000_000_000

    /// The atomic units of `text`, such as 25000 or 0.5; nil for anything else.
    package static func units(_ text: String) -> UInt64? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, !first.isEmpty, first.allSatisfy(\.isASCII), let whole = UInt64(first) else {
            return nil
        }
        var fraction: UInt64 = 0
        if parts.count == 2 {
            let digits = parts[1]
            guard 1...9 ~= digits.count, let value = UInt64(digits), digits.first != "+" else { return nil }
            fraction = (digits.count..<9).reduce(value) { product, _ in product * 10 }
        }
        let (product, overflow) = whole.multipliedReportingOverflow(by: unit)
        let (sum, overflowsToo) = product.addingReportingOverflow(fraction)
        return overflow || overflowsToo || first.first == "+" ? nil : sum
    }

    /// The amount in SESH, without trailing zeros.
    package static func text(_ units: UInt64) -> String {
        var fraction = String(units % unit)
        fraction = String(repeating: "0", count: 9 - fraction.count) + fraction
        while fraction.last == "0" { fraction.removeLast() }
        return fraction.isEmpty ? "\(units / unit)" : "\(units / unit).\(fraction)"
    }

    /// A fee in 1/10,000 as percent.
    package static func percent(_ fee: Int) -> String {
        let rest = fee % 100
        return rest == 0 ? "\(fee / 100) %" : "\(fee / 100).\(rest < 10 ? "0" : "")\(rest) %"
    }

    /// A fee in 1/10,000 from percent with up to two decimals; it may exceed a whole, which the registry refuses.
    package static func fee(_ text: String) -> UInt16? {
        let number = text.hasSuffix("%") ? String(text.dropLast()) : text
        guard let units = units(number), units % 10_000_000 == 0 else { return nil }
        return UInt16(exactly: units / 10_000_000)
    }
}
