/// z-base-32, the text form of node ids and of services' addresses: five bits a character, from the most significant
/// on.
///
/// Each run of bytes has one text, in lower case; no other text is read.
public enum ZBase32 {
    private static let alphabet = [UInt8]("ybndrfg8ejkmcpqxot1uwisza345h769".utf8)

    /// The text of `bytes`; the last character is filled with zero bits.
    public static func encode(_ bytes: [UInt8]) -> String {
        var characters: [UInt8] = []
        characters.reserveCapacity(bytes.count / 5 &* 8 &+ 8)
        var pending: UInt32 = 0
        var bits = 0
        for byte in bytes {
            pending = pending << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                characters.append(alphabet[Int(pending >> UInt32(bits))])
                pending &= 1 << UInt32(bits) - 1
            }
        }
        if bits > 0 { characters.append(alphabet[Int(pending << UInt32(5 - bits))]) }
        return String(decoding: characters, as: UTF8.self)
    }

    /// The bytes of `characters`; nil if a character is not of the alphabet, or the text is not what ``encode(_:)``
    /// makes.
    public static func decode(_ characters: some Sequence<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var pending: UInt32 = 0
        var bits = 0
        for character in characters {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            pending = pending << 5 | UInt32(value)
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: pending >> UInt32(bits)))
                pending &= 1 << UInt32(bits) - 1
            }
        }
        return pending == 0 && bits < 5 ? bytes : nil
    }
}
