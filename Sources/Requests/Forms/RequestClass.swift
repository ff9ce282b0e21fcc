internal import OnionCrypto
internal import Wire

/// The sizes of a sealed plaintext (protocol.md, section 13.1): an observer learns the class, not the exact size.
public enum RequestClass: Int, CaseIterable, Sendable {
    /// Up to 1,024 bytes.
    case bytes1024 = 1_024
    /// Up to 2,304 bytes: an item of 2,048 bytes and its head.
    case bytes2304 = 2_304
    /// Up to 4,352 bytes; the largest class of a relayed request.
    case bytes4352 = 4_352
    /// Up to 8,448 bytes.
    case bytes8448 = 8_448
    /// Up to 16,640 bytes.
    case bytes16640 = 16_640
    /// Up to 33,024 bytes; the largest class of an answer to a relayed request.
    case bytes33024 = 33_024
    /// Up to 65,792 bytes.
    case bytes65792 = 65_792

    /// The size of the plaintext in bytes.
    public var size: Int { rawValue }
    /// The size of the sealed answer in bytes: salt, ciphertext and tag.
    public var answerSize: Int { RequestEnvelope.saltSize + rawValue + AEADKey.tagSize }
    /// The size of the envelope in bytes.
    public var envelopeSize: Int { RequestEnvelope.openingSize + rawValue + AEADKey.tagSize }

    /// The smallest class that holds `size` bytes; nil if none does.
    public init?(holding size: Int) {
        guard let found = Self.allCases.first(where: { size <= $0.rawValue }) else { return nil }
        self = found
    }

    /// The class whose sealed answer has `size` bytes; nil if there is none.
    public init?(answerSize size: Int) { self.init(rawValue: size - RequestEnvelope.saltSize - AEADKey.tagSize) }

    /// The class whose envelope has `size` bytes; nil if there is none.
    public init?(envelopeSize size: Int) {
        self.init(rawValue: size - RequestEnvelope.openingSize - AEADKey.tagSize)
    }
}

/// The room for a proof of work before an envelope; it must be all zeros.
enum Puzzle {
    static let size = 37

    static func check(_ reader: inout ByteReader) throws(WireError) {
        let span = try reader.bytes(size)
        guard span.isZero else { throw .unknownKind(UInt64(unsafe span.unsafeLoad(as: UInt8.self))) }
    }
}

extension RawSpan {
    /// Whether all bytes are zero; the time it takes depends only on the length.
    var isZero: Bool {
        var sum: UInt8 = 0
        for offset in 0..<byteCount { sum |= unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self) }
        return sum == 0
    }
}
