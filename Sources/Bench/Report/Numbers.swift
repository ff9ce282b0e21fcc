/// A number with so many decimals.
func decimal(_ value: Double, _ decimals: Int) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return "-" }
    let scale = (0..<decimals).reduce(1) { factor, _ in factor * 10 }
    let scaled = Int((value.magnitude * Double(scale)).rounded())
    let sign = value < 0 && scaled != 0 ? "-" : ""
    guard decimals > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % scale)
    return "\(sign)\(scaled / scale).\(String(repeating: "0", count: decimals - fraction.count))\(fraction)"
}

/// A number with about three digits, or a dash for none.
func figure(_ value: Double?) -> String {
    guard let value else { return "-" }
    return decimal(value, value >= 100 ? 0 : value >= 10 ? 1 : 2)
}

/// A number with few enough digits that its text form is short.
func short(_ value: Double) -> Double {
    guard value.isFinite else { return 0 }
    let scale = value.magnitude >= 1000 ? 10.0 : 1000.0
    return (value * scale).rounded() / scale
}
