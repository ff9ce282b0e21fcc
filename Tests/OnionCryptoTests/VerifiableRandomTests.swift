import OnionCrypto
import Testing
import VectorFiles
import Wire

@Suite struct VerifiableRandomTests {
    /// RFC 9381, appendix B.3: examples 16 to 18.
    static let examples: [(key: String, input: String, proof: String, value: String)] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "",
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f479d97"
                + "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805",
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
                + "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae"
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed5933bf0864a62558b3ed7f2fea45c92a465"
                + "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02",
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
                + "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031"
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf8096bb474e53895c362d8628ee9f9ea3c0"
                + "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e",
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
                + "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f"
        ),
    ]

    @Test(arguments: 0..<3) func rfc9381(_ number: Int) throws {
        let example = Self.examples[number]
        let key = SigningKey(seed: try secret(example.key))
        let input = try hex(example.input)
        let (proof, value) = (try hex(example.proof), try hex(example.value))
        #expect(key.prove(input.rawSpan) == proof)
        #expect(SigningKey.randomValue(of: proof.rawSpan, for: input.rawSpan, by: key.publicKey) == value)
    }

    @Test func nothingElseIsAProof() throws {
        let key = SigningKey(seed: try secret(Self.examples[0].key))
        let input: [UInt8] = [1, 2, 3]
        let proof = key.prove(input.rawSpan)
        func value(_ proof: [UInt8], _ input: [UInt8], _ key: Bytes32) -> [UInt8]? {
            SigningKey.randomValue(of: proof.rawSpan, for: input.rawSpan, by: key)
        }
        #expect(value(proof, input, key.publicKey) != nil)
        for place in proof.indices {
            var changed = proof
            changed[place] ^= 1 << UInt8(place % 8)
            #expect(value(changed, input, key.publicKey) == nil, "byte \(place)")
        }
        #expect(value(proof, [1, 2, 4], key.publicKey) == nil)
        #expect(value(proof, input, SigningKey().publicKey) == nil)
        #expect(value(Array(proof.dropLast()), input, key.publicKey) == nil)
        // The answer plus the group order is another number for the same scalar.
        let order = try hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        var sum = proof
        var carry = 0
        for place in 0..<32 {
            let next = Int(proof[48 + place]) + Int(order[place]) + carry
            (sum[48 + place], carry) = (UInt8(next & 255), next >> 8)
        }
        #expect(value(sum, input, key.publicKey) == nil)
        // Points of low order, as a point of the proof and as a key.
        let low = [UInt8]([1] + [UInt8](repeating: 0, count: 31))
        #expect(value(low + proof[32...], input, key.publicKey) == nil)
        #expect(value(proof, input, Bytes32(copying: low.rawSpan)) == nil)
    }
}
