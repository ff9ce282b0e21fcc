internal import OnionCrypto
internal import Wire

/// Noise's SymmetricState and CipherState for ChaChaPoly and BLAKE2b (Noise revision 34, sections 5.1 and 5.2).
struct SymmetricState: ~Copyable {
    private var chainingKey: ChainingKey
    /// The transcript's hash, 64 bytes.
    private(set) var hash: [UInt8]
    private var cipher: AEADKey?
    private var nonce: UInt64 = 0

    /// The state of the protocol `name`, before the prologue.
    init(protocolName name: StaticString) {
        var start = [UInt8]()
        name.withUTF8Buffer { unsafe start.append(contentsOf: $0) }
        if start.count <= ChainingKey.size {
            start.append(contentsOf: repeatElement(0, count: ChainingKey.size - start.count))
        } else {
            start = Self.digest(start.rawSpan, RawSpan())
        }
        chainingKey = ChainingKey(copying: start.rawSpan)
        hash = start
        cipher = nil
    }

    private init(chainingKey: consuming ChainingKey, hash: [UInt8]) {
        self.chainingKey = chainingKey
        self.hash = hash
        self.cipher = nil
    }

    /// A copy for an attempt that may fail.
    ///
    /// It has no cipher: the first token that it reads must mix a key.
    borrowing func cloneWithoutCipher() -> SymmetricState {
        SymmetricState(chainingKey: chainingKey.clone(), hash: hash)
    }

    private static func digest(_ first: RawSpan, _ second: RawSpan) -> [UInt8] {
        var state = Blake2b(outputSize: ChainingKey.size)
        state.update(first)
        state.update(second)
        return state.finish()
    }

    /// Adds public bytes to the transcript.
    mutating func mixHash(_ bytes: RawSpan) { hash = Self.digest(hash.rawSpan, bytes) }

    /// Mixes `input` into the keys.
    mutating func mixKey(_ input: RawSpan) {
        cipher = AEADKey(.chacha20poly1305, chainingKey.mix(input))
        nonce = 0
    }

    /// Mixes a pre-shared key into the keys and the transcript.
    mutating func mixKeyAndHash(_ input: RawSpan) {
        let mixed = chainingKey.mixAndHash(input)
        let mixedHash = mixed.hash
        mixHash(mixedHash.rawSpan)
        cipher = AEADKey(.chacha20poly1305, mixed.takeKey())
        nonce = 0
    }

    /// Encrypts with the transcript as associated data and adds the result to the transcript; without a key, returns
    /// the plaintext.
    mutating func encryptAndHash(_ text: RawSpan) -> [UInt8] {
        let sealed = Self.seal(cipher, text, hash, nonce)
        nonce += 1
        mixHash(sealed.rawSpan)
        return sealed
    }

    /// Decrypts the output of `encryptAndHash`; nil if it is not authentic.
    mutating func decryptAndHash(_ sealed: RawSpan) -> [UInt8]? {
        guard let text = Self.open(cipher, sealed, hash, nonce) else { return nil }
        nonce += 1
        mixHash(sealed)
        return text
    }

    private static func seal(
        _ cipher: borrowing AEADKey?, _ text: RawSpan, _ transcript: [UInt8], _ nonce: UInt64
    ) -> [UInt8] {
        switch cipher {
        case .some(let key): key.seal(text, associated: transcript.rawSpan, counter: nonce)
        case .none: [UInt8](copying: text)
        }
    }

    private static func open(
        _ cipher: borrowing AEADKey?, _ sealed: RawSpan, _ transcript: [UInt8], _ nonce: UInt64
    ) -> [UInt8]? {
        switch cipher {
        case .some(let key): key.open(sealed, associated: transcript.rawSpan, counter: nonce)
        case .none: [UInt8](copying: sealed)
        }
    }

    /// The keys of the finished handshake.
    consuming func split() -> SplitKeys { chainingKey.split() }
}
