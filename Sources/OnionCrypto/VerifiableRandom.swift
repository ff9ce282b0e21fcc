internal import CLibSodium
public import Wire

// ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381): a key gives one value for an input; only the key's holder can compute it,
// and anyone can verify it.

extension SigningKey {
    /// The length of a proof.
    public static let proofSize = 80
    /// RFC 9381, section 5.5: the number of the cipher suite.
    private static let suite: UInt8 = 3

    /// The proof of this key's value for `input`, 80 bytes; ``randomValue(of:for:by:)`` returns the value.
    ///
    /// The nonce is that of an Ed25519 signature of a point of 32 bytes (RFC 9381, section 5.4.2.2). A key that makes
    /// proofs must therefore never sign a message of 32 bytes: proof and signature together would reveal the key. Every
    /// message of the project is longer because of its prefix.
    public borrowing func prove(_ input: RawSpan) -> [UInt8] {
        let input = [UInt8](copying: input)
        let publicKey = publicKey
        return withExpanded { key in
            var hash = [UInt8](repeating: 0, count: 64)
            unsafe crypto_hash_sha512(&hash, key, 32)
            defer { wipe(&hash) }
            var scalar = Array(hash[..<32])
            defer { wipe(&scalar) }
            scalar[0] &= 0xf8
            scalar[31] = scalar[31] & 0x7f | 0x40
            // Allocated with its final size, because a growing array leaves copies of its bytes behind.
            var nonceInput = [UInt8](repeating: 0, count: 64)
            defer { wipe(&nonceInput) }
            guard let point = Self.point(of: input, publicKey), let gamma = Self.multiply(point, scalar) else {
                preconditionFailure("no point of 256 is on the curve")
            }
            for place in 0..<32 { (nonceInput[place], nonceInput[32 + place]) = (hash[32 + place], point[place]) }
            var nonceHash = Self.sha512(nonceInput)
            defer { wipe(&nonceHash) }
            var nonce = Self.reduce(nonceHash)
            defer { wipe(&nonce) }
            guard let u = Self.multiplyBase(nonce), let v = Self.multiply(point, nonce) else {
                preconditionFailure("a hash is zero")
            }
            let challenge = Self.challenge([publicKey.array, point, gamma, u, v])
            var product = [UInt8](repeating: 0, count: 32)
            var answer = product
            defer { wipe(&product) }
            unsafe crypto_core_ed25519_scalar_mul(&product, challenge + [UInt8](repeating: 0, count: 16), scalar)
            unsafe crypto_core_ed25519_scalar_add(&answer, product, nonce)
            return gamma + challenge + answer
        }
    }

    /// The value, 64 bytes, that `proof` proves for `input` under `publicKey`; nil if it does not verify.
    ///
    /// For one key and input every valid proof has the same value.
    public static func randomValue(of proof: RawSpan, for input: RawSpan, by publicKey: Bytes32) -> [UInt8]? {
        guard proof.byteCount == proofSize else { return nil }
        Sodium.initialize()
        let proof = [UInt8](copying: proof)
        let (gamma, challenge, answer) = (Array(proof[..<32]), Array(proof[32..<48]), Array(proof[48...]))
        let key = publicKey.array
        let factor = challenge + [UInt8](repeating: 0, count: 16)
        guard unsafe crypto_core_ed25519_is_valid_point(key) == 1,
            unsafe crypto_core_ed25519_is_valid_point(gamma) == 1,
            reduce(answer + [UInt8](repeating: 0, count: 32)) == answer,
            let point = point(of: [UInt8](copying: input), publicKey),
            let u = subtract(multiplyBase(answer), multiply(key, factor)),
            let v = subtract(multiply(point, answer), multiply(gamma, factor)),
            Self.challenge([key, point, gamma, u, v]) == challenge, let output = byCofactor(gamma)
        else { return nil }
        return sha512([suite, 3] + output + [0])
    }

    /// The point of an input (RFC 9381, section 5.4.1.1); nil has a probability of 2^-256.
    private static func point(of input: [UInt8], _ publicKey: Bytes32) -> [UInt8]? {
        for counter in 0...255 as ClosedRange<UInt8> {
            let hash = sha512([suite, 1] + publicKey.array + input + [counter, 0])
            if let point = byCofactor(Array(hash[..<32])) { return point }
        }
        return nil
    }

    /// Eight times a point; nil if the bytes are not a point, or it has a low order.
    private static func byCofactor(_ point: [UInt8]) -> [UInt8]? {
        var sum = point
        for _ in 0..<3 {
            let half = sum
            guard unsafe crypto_core_ed25519_add(&sum, half, half) == 0 else { return nil }
        }
        return unsafe crypto_core_ed25519_is_valid_point(sum) == 1 ? sum : nil
    }

    private static func challenge(_ points: [[UInt8]]) -> [UInt8] {
        Array(sha512([suite, 2] + points.joined() + [0])[..<16])
    }

    private static func multiply(_ point: [UInt8], _ scalar: [UInt8]) -> [UInt8]? {
        var product = [UInt8](repeating: 0, count: 32)
        return unsafe crypto_scalarmult_ed25519_noclamp(&product, scalar, point) == 0 ? product : nil
    }

    private static func multiplyBase(_ scalar: [UInt8]) -> [UInt8]? {
        var product = [UInt8](repeating: 0, count: 32)
        return unsafe crypto_scalarmult_ed25519_base_noclamp(&product, scalar) == 0 ? product : nil
    }

    private static func subtract(_ a: [UInt8]?, _ b: [UInt8]?) -> [UInt8]? {
        guard let a, let b else { return nil }
        var difference = [UInt8](repeating: 0, count: 32)
        return unsafe crypto_core_ed25519_sub(&difference, a, b) == 0 ? difference : nil
    }

    /// 64 bytes modulo the order of the group.
    private static func reduce(_ bytes: [UInt8]) -> [UInt8] {
        var scalar = [UInt8](repeating: 0, count: 32)
        unsafe crypto_core_ed25519_scalar_reduce(&scalar, bytes)
        return scalar
    }

    static func sha512(_ bytes: [UInt8]) -> [UInt8] {
        var hash = [UInt8](repeating: 0, count: 64)
        unsafe crypto_hash_sha512(&hash, bytes, UInt64(bytes.count))
        return hash
    }
}
