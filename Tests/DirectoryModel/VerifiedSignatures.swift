internal import Directory
internal import OnionCrypto
internal import Synchronization
internal import Wire

/// Real keys by number, and real signatures; each signature is verified once and remembered, since many nodes and many
/// runs check the same ones.
enum VerifiedSignatures {
    private static let limit = 50_000
    private static let known = Mutex<[Bytes32: Bool]>([:])

    /// The key of a node.
    static func key(_ number: Int) -> SigningKey {
        SigningKey(seed: Secret(copying: [UInt8](repeating: UInt8(1 + number), count: 32).rawSpan))
    }

    /// The check of signatures of lists.
    static let check = SignatureCheck { signature, message, node in
        remembered(signature + message + node.key.array) { SignatureCheck.ed25519.isGood(signature, message, node) }
    }

    /// Whether the signature of a descriptor is its node's.
    static func isAuthentic(_ signed: SignedDescriptor, network: Bytes32) -> Bool {
        remembered(signed.bytes) { signed.isAuthentic(network: network) }
    }

    private static func remembered(_ bytes: [UInt8], _ verify: () -> Bool) -> Bool {
        let digest = Blake2b.digest(bytes.rawSpan)
        if let found = known.withLock({ $0[digest] }) { return found }
        let isGood = verify()
        known.withLock {
            if $0.count >= limit { $0 = [:] }
            $0[digest] = isGood
        }
        return isGood
    }
}
