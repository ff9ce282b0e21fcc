internal import Wire

/// The first message of TLS 1.2 and 1.3 (RFC 8446, section 4.1.2), enough to see whether a server speaks TLS.
///
/// It offers no key share. A TLS 1.3 server then asks for one, and that answer is sufficient.
enum ClientHello {
    private static let suites: [UInt16] = [
        0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca8, 0xcca9, 0x009c, 0x009d, 0x002f, 0x0035,
    ]
    private static let groups: [UInt16] = [0x001d, 0x0017, 0x0018]
    private static let signatures: [UInt16] = [
        0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0603, 0x0806, 0x0601, 0x0807,
    ]

    /// The record for `host`.
    ///
    /// It contains a server name unless `host` is an address.
    static func record(to host: String) -> [UInt8] {
        var extensions: [UInt8] = []
        if IPAddress(host) == nil {
            extensions += field(0, two([0] + two(Array(host.utf8))))
        }
        extensions += field(10, two(groups.flatMap(bytes)))
        extensions += field(11, [1, 0])
        extensions += field(13, two(signatures.flatMap(bytes)))
        extensions += field(43, [4, 3, 4, 3, 3])
        extensions += field(51, two([]))
        let body =
            [3, 3] + random(32) + [32] + random(32) + two(suites.flatMap(bytes)) + [1, 0]
            + two(extensions)
        let message = [1, 0] + bytes(UInt16(body.count)) + body
        return [22, 3, 1] + two(message)
    }

    /// Whether `answer` begins with a handshake record that holds a ServerHello, or with an alert.
    static func isAnswered(by answer: [UInt8]) -> Bool {
        guard answer.count >= 6, answer[1] == 3, answer[2] <= 4 else { return false }
        return answer[0] == 22 && answer[5] == 2 || answer[0] == 21
    }

    /// `count` bytes from the system's random generator.
    private static func random(_ count: Int) -> [UInt8] { (0..<count).map { _ in .random(in: 0 ... .max) } }
    private static func bytes(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
    /// `content` after its length in two bytes, big-endian.
    private static func two(_ content: [UInt8]) -> [UInt8] { bytes(UInt16(content.count)) + content }
    private static func field(_ type: UInt16, _ content: [UInt8]) -> [UInt8] { bytes(type) + two(content) }
}
