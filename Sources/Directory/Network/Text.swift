internal import Wire

/// How many single-character edits lead from `a` to `b`; for short texts.
func editDistance(_ a: String, _ b: String) -> Int {
    let left = Array(a.utf8.prefix(64))
    let right = Array(b.utf8.prefix(64))
    var row = Array(0...right.count)
    for (i, x) in left.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, y) in right.enumerated() {
            let above = row[j + 1]
            row[j + 1] = min(diagonal + (x == y ? 0 : 1), above + 1, row[j] + 1)
            diagonal = above
        }
    }
    return row[right.count]
}

/// The bytes as hexadecimal digits in lower case.
func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

/// Thirty-two bytes from 64 hexadecimal digits of either case.
func bytes32(hexadecimal text: String) -> Bytes32? {
    let digits = Array(text.utf8)
    guard digits.count == 64 else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: 64, by: 2) {
        guard let high = digit(digits[index]), let low = digit(digits[index + 1]) else { return nil }
        bytes.append(high << 4 | low)
    }
    return Bytes32(bytes)
}

private func digit(_ character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
    default: nil
    }
}
