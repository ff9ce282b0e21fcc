internal import OnionCrypto
internal import Wire

/// A name of the Oxen Name Service: the daemon gets only its hash, and the name decrypts the daemon's answer.
struct OxenName {
    private let text: [UInt8]
    /// The hash sent to the daemon, in hexadecimal.
    let hash: String

    /// The name in lower case; nil unless it has 1 to 253 printable ASCII characters and no space.
    init?(_ name: String) {
        // Checked first: the lower case of other letters can be ASCII, as that of the Kelvin sign is.
        let bytes = Array(name.utf8)
        guard 1...253 ~= bytes.count, bytes.allSatisfy({ 0x21...0x7e ~= $0 }) else { return nil }
        let text = bytes.map { 0x41...0x5a ~= $0 ? $0 | 0x20 : $0 }
        self.text = text
        hash = hexadecimal(Blake2b.digest(text.rawSpan).array)
    }

    /// The address in the daemon's value, `<z-base-32 of the key>.loki`; nil if the name does not decrypt it.
    func open(value: String, nonce: String) -> String? {
        guard let sealed = bytes(hexadecimal: value), let nonce = bytes(hexadecimal: nonce) else { return nil }
        var digest = Blake2b(outputSize: 32, key: Blake2b.digest(text.rawSpan).array.rawSpan)
        digest.update(text.rawSpan)
        let key = digest.finishSecret()
        guard
            let plain = XChaCha20Poly1305.open(
                sealed.rawSpan, associated: RawSpan(), nonce: nonce.rawSpan, key: key),
            let address = Bytes32(plain)
        else { return nil }
        return NodeID(address).description.dropLast(NodeID.suffix.count) + ".loki"
    }
}
