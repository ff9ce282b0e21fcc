import Testing
import Wire

@testable import OnionCrypto

@Suite struct HashTests {
    /// RFC 7693, appendix A.
    @Test func rfc7693() throws {
        var hash = Blake2b(outputSize: 64)
        let abc = [UInt8]("abc".utf8)
        hash.update(abc.rawSpan)
        #expect(
            hash.finish()
                == (try hex(
                    "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                        + "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923")))
        let digest = Blake2b.digest(abc.rawSpan)
        #expect(digest.array == (try hex("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319")))
    }

    @Test func keyed() throws {
        let key = [UInt8](0..<32)
        var hash = Blake2b(outputSize: 32, key: key.rawSpan)
        let parts = [[UInt8]("a".utf8), [UInt8]("bc".utf8)]
        for part in parts {
            hash.update(part.rawSpan)
            hash.update(RawSpan())
        }
        #expect(hash.finish() == (try hex("d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f")))
    }

    /// `derive` is keyed BLAKE2b over label, zero byte, other secret and context.
    @Test func deriving() {
        let key = [UInt8](repeating: 5, count: 32)
        let other = [UInt8](repeating: 6, count: 32)
        let secret = Secret(copying: key.rawSpan)
        var hash = Blake2b(outputSize: 32, key: key.rawSpan)
        let text = [UInt8]("label".utf8) + [0] + other + [1, 2, 3]
        hash.update(text.rawSpan)
        let expected = hash.finish()
        let derived = secret.derive("label", mixing: Secret(copying: other.rawSpan), context: [1, 2, 3])
        #expect([UInt8](copying: derived.bytes) == expected)
        let plain = secret.derive("label", context: other + [1, 2, 3])
        #expect([UInt8](copying: plain.bytes) == [UInt8](copying: derived.bytes))
        let number = secret.deriveNumber("label")
        var bytes: UInt64 = 0
        for (index, byte) in [UInt8](copying: secret.derive("label").bytes).prefix(8).enumerated() {
            bytes |= UInt64(byte) << UInt64(8 * index)
        }
        #expect(number == bytes)
    }

    @Test func comparing() {
        let a: [UInt8] = [1, 2, 3]
        let b: [UInt8] = [1, 2, 4]
        #expect(constantTimeEqual(a.rawSpan, a.rawSpan) == true)
        #expect(constantTimeEqual(a.rawSpan, b.rawSpan) == false)
        #expect(constantTimeEqual(a.rawSpan, RawSpan()) == false)
        #expect(constantTimeEqual(RawSpan(), RawSpan()) == true)
    }

    @Test func k4_wipingAnArrayLeavesZeros() {
        var array: [UInt8] = [1, 2, 3]
        wipe(&array)
        #expect(array == [0, 0, 0])
    }

    @Test func aSecretLockedInMemoryIsLikeAnyOther() {
        let bytes = [UInt8](0..<32)
        let secret = Secret(copying: bytes.rawSpan, locked: true)
        #expect([UInt8](copying: secret.clone().bytes) == bytes)
    }

    @Test func randomBytesDiffer() {
        #expect(SecureRandom.bytes(32) != SecureRandom.bytes(32))
        #expect(SecureRandom.bytes(0) == [])
        #expect([UInt8](copying: Secret.random().bytes) != [UInt8](copying: Secret.random().bytes))
    }
}
