internal import OnionCrypto
public import Wire

/// The address of a service: its Ed25519 key with version and check digits (protocol.md, section 14.1).
///
/// A value's key is always one of the prime-order group: such a key has no second address.
public struct ServiceAddress: Hashable, Sendable {
    /// The service's key.
    public let key: Bytes32

    /// The suffix of the text form.
    public static let suffix = ".tunic"
    /// How many characters stand before the suffix.
    public static let textLength = 56
    private static let version: UInt8 = 1

    /// The address of `key`; throws `invalidKey` if that is not a key of the prime-order group.
    public init(_ key: Bytes32) throws(ServiceAddressError) {
        guard PrimeOrderGroup.contains(key) else { throw .invalidKey }
        self.key = key
    }

    /// Reads `<56 characters>.tunic`, in lower case and without labels in front: as files and commands have it.
    ///
    /// Names that apps ask for are read by ``ServiceName``.
    public init(_ text: String) throws(ServiceAddressError) {
        let letters = Array(text.utf8)
        if letters.last == UInt8(ascii: ".") { throw .trailingDot }
        let labels = letters.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard labels.count > 1, let last = labels.last else { throw .noSuffix }
        try Self.checkSuffix(last)
        if letters.contains(where: { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 }) { throw .upperCase }
        if labels.count > 2 { throw .labels }
        try self.init(label: labels[0])
    }

    /// Reads the label before the suffix.
    init(label: some Collection<UInt8>) throws(ServiceAddressError) {
        guard label.count == Self.textLength else { throw .wrongLength(label.count) }
        // 56 characters are 35 bytes to the bit.
        guard let bytes = ZBase32.decode(label) else { throw .wrongCharacter }
        let digits = Self.checkDigits(Array(bytes[..<33]))
        guard Array(bytes[33...]) == digits else { throw .wrongCheckDigits }
        guard bytes[32] == Self.version else { throw .unknownVersion(bytes[32]) }
        try self.init(Bytes32(copying: bytes.rawSpan.extracting(first: 32)))
    }

    /// Throws unless a name's last label is `tunic`, in upper or lower case.
    static func checkSuffix(_ label: some Collection<UInt8>) throws(ServiceAddressError) {
        switch String(decoding: label, as: UTF8.self).lowercased() {
        case "tunic": return
        case "snode": throw .node
        default: throw .otherSuffix
        }
    }

    /// The first two bytes of a hash of key and version.
    private static func checkDigits(_ keyAndVersion: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        writer.prefix(.serviceAddress)
        writer.raw(keyAndVersion)
        return Array(Blake2b.digest(writer.bytes.rawSpan).array[..<2])
    }
}

extension ServiceAddress: CustomStringConvertible {
    /// The text form: `<z-base-32 of key, version and check digits>.tunic`.
    public var description: String {
        let bytes = key.array + [Self.version]
        return ZBase32.encode(bytes + Self.checkDigits(bytes)) + Self.suffix
    }
}

/// Why a text is not a service's address; no case holds the text, so that it may be shown and logged.
public enum ServiceAddressError: Error, Hashable, Sendable {
    /// There is no dot: the suffix `.tunic` is missing.
    case noSuffix
    /// The suffix is `.snode`: the text is a node's id.
    case node
    /// The name belongs to the DNS or to another network.
    case otherSuffix
    /// A dot follows the suffix.
    case trailingDot
    /// There are capital letters.
    case upperCase
    /// There are labels in front of the address.
    case labels
    /// The label before the suffix has this many characters instead of 56.
    case wrongLength(Int)
    /// A character is not one of z-base-32.
    case wrongCharacter
    /// The check digits do not fit: a character is wrong.
    case wrongCheckDigits
    /// The address is whole, but of a version that this program does not know.
    case unknownVersion(UInt8)
    /// The key is not in the prime-order group. Such an address can only be a second one for the same service.
    case invalidKey
}
