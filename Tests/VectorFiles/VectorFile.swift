internal import Glibc
public import OnionCrypto
public import Wire

/// A file of `Tests/Vectors`: one flat JSON object of hexadecimal strings.
public struct VectorFile: Sendable {
    private var values: [String: [UInt8]] = [:]

    /// Reads `Tests/Vectors/<name>.json`.
    public init(_ name: String) throws {
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
        parts += ["Vectors", "\(name).json"]
        let strings = try Self.strings(in: Self.read(parts.joined(separator: "/")))
        for index in stride(from: 0, to: strings.count - 1, by: 2) {
            values[strings[index]] = try Self.bytes(hex: strings[index + 1])
        }
    }

    /// A file or a value is missing.
    public struct Missing: Error {
        let name: String
    }

    /// The bytes of value `name`.
    public func callAsFunction(_ name: String) throws -> [UInt8] {
        guard let value = values[name] else { throw Missing(name: name) }
        return value
    }

    /// The value `name` as a secret.
    public func secret(_ name: String) throws -> Secret {
        let bytes = try self(name)
        return Secret(copying: bytes.rawSpan)
    }

    /// The value `name`, which has 32 bytes.
    public func bytes32(_ name: String) throws -> Bytes32 {
        guard let value = Bytes32(try self(name)) else { throw Missing(name: name) }
        return value
    }

    /// The bytes of hexadecimal digits.
    public static func bytes(hex: String) throws -> [UInt8] {
        let digits = try hex.utf8.map { (digit: UInt8) throws -> UInt8 in
            guard let value = Character(UnicodeScalar(digit)).hexDigitValue else { throw Missing(name: hex) }
            return UInt8(value)
        }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private static func read(_ path: String) throws -> [UInt8] {
        guard let file = unsafe fopen(path, "r") else { throw Missing(name: path) }
        defer { unsafe fclose(file) }
        var content: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe fread(&block, 1, block.count, file)
            if count == 0 { return content }
            content += block.prefix(count)
        }
    }

    /// All strings of the file in order, names and values in turn; the files have no escapes.
    private static func strings(in content: [UInt8]) -> [String] {
        content.split(separator: UInt8(ascii: "\""), omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String(decoding: $0.element, as: UTF8.self) }
    }
}
