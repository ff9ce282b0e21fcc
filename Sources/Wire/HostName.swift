/// A syntactically valid host name, in lower case and without a final dot.
///
/// It has labels of 1 to 63 letters, digits, hyphens and underscores, separated by dots, 253 bytes in all. A last label
/// that is a number (`127.1`, `0x7f.1`) is refused, because resolvers take such names for addresses. Names in other
/// scripts use their ASCII form (`xn--`).
public struct HostName: Hashable, Sendable {
    /// The longest name in bytes (RFC 1035, section 2.3.4, without the length bytes).
    public static let maximumLength = 253

    /// The name as text.
    public let text: String

    /// Reads a name; nil if the bytes are not a valid one.
    public init?(ascii bytes: some Collection<UInt8>) {
        var name = Array(bytes)
        if name.last == UInt8(ascii: ".") { name.removeLast() }
        guard 1...Self.maximumLength ~= name.count else { return nil }
        for index in name.indices {
            switch name[index] {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): name[index] |= 0x20
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): break
            case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): break
            default: return nil
            }
        }
        let labels = name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard labels.allSatisfy({ 1...63 ~= $0.count }), let last = labels.last, !Self.isNumber(last) else {
            return nil
        }
        self.text = String(decoding: name, as: UTF8.self)
    }

    /// Reads a name from text by the rules of `init(ascii:)`.
    public init?(_ text: String) { self.init(ascii: text.utf8) }

    /// Whether a resolver may take a name with this last label for an address: all digits, or `0x` and hexadecimal
    /// digits.
    private static func isNumber(_ label: ArraySlice<UInt8>) -> Bool {
        let isDigit = { (byte: UInt8) in UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
        if label.starts(with: [UInt8(ascii: "0"), UInt8(ascii: "x")]) {
            return label.dropFirst(2).allSatisfy { isDigit($0) || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0 }
        }
        return label.allSatisfy(isDigit)
    }
}
