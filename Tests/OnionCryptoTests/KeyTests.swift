import OnionCrypto
import Testing
import VectorFiles
import Wire

@Suite struct KeyTests {
    /// RFC 7748, section 5.2.
    @Test func rfc7748() throws {
        let key = AgreementKey(try secret("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"))
        let peer = try bytes32("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
        let shared = try key.agree(with: peer)
        let expected = try hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
        #expect([UInt8](copying: shared.bytes) == expected)
    }

    private func product(_ scalar: [UInt8], _ point: Bytes32) throws -> [UInt8] {
        let key = AgreementKey(Secret(copying: scalar.rawSpan))
        let shared = try key.agree(with: point)
        return [UInt8](copying: shared.bytes)
    }

    /// RFC 7748, section 5.2: a thousand steps of the iteration.
    @Test func rfc7748Iterated() throws {
        var k = try hex("0900000000000000000000000000000000000000000000000000000000000000")
        var u = k
        for step in 1...1_000 {
            let peer = try #require(Bytes32(u))
            let result = try product(k, peer)
            u = k
            k = result
            if step == 1 {
                #expect(k == (try hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")))
            }
        }
        #expect(k == (try hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")))
    }

    @Test(arguments: [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ])
    func o12_pointsOfLowOrderAreRefused(point: String) throws {
        let peer = try bytes32(point)
        let key = AgreementKey()
        #expect(throws: CryptoError.lowOrderPoint) { _ = try key.agree(with: peer) }
    }

    @Test func bothSidesAgree() throws {
        let a = AgreementKey()
        let b = AgreementKey()
        let one = try a.agree(with: b.publicKey)
        let two = try b.agree(with: a.publicKey)
        #expect([UInt8](copying: one.bytes) == [UInt8](copying: two.bytes))
    }

    /// RFC 8032, section 7.1, tests 1 and 2.
    @Test(arguments: [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
                + "d25bf5f0595bbe24655141438e7a100b"
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
                + "387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ])
    func rfc8032(seed: String, publicKey: String, message: String, signature: String) throws {
        let key = SigningKey(seed: try secret(seed))
        let text = try hex(message)
        let expected = try hex(signature)
        #expect(key.publicKey == (try bytes32(publicKey)))
        #expect(key.sign(text.rawSpan) == expected)
        #expect(SigningKey.verify(expected.rawSpan, of: text.rawSpan, by: key.publicKey) == true)
        var changed = expected
        changed[40] ^= 1
        #expect(SigningKey.verify(changed.rawSpan, of: text.rawSpan, by: key.publicKey) == false)
        let more = text + [0]
        #expect(SigningKey.verify(expected.rawSpan, of: more.rawSpan, by: key.publicKey) == false)
        let short = [UInt8](expected.prefix(63))
        #expect(SigningKey.verify(short.rawSpan, of: text.rawSpan, by: key.publicKey) == false)
        #expect(SigningKey.verify(expected.rawSpan, of: text.rawSpan, by: Bytes32()) == false)
    }

    @Test func theLinkKeyBelongsToTheIdentity() throws {
        let identity = SigningKey()
        let own = identity.agreementKey()
        #expect(try SigningKey.agreementKey(of: identity.publicKey) == own.publicKey)
        #expect(throws: CryptoError.self) { _ = try SigningKey.agreementKey(of: Bytes32()) }
    }

    /// The vectors of draft-connolly-cfrg-xwing-kem: seed to public key, ciphertext to secret.
    @Test(arguments: 0..<3) func xwing(index: Int) throws {
        let file = try VectorFile("xwing")
        let key = try KEM.PrivateKey(seed: try file("\(index).seed"))
        #expect(key.publicKey == (try file("\(index).pk")))
        let ciphertext = try file("\(index).ct")
        let shared = try key.decapsulate(ciphertext.rawSpan)
        #expect([UInt8](copying: shared.bytes) == (try file("\(index).ss")))
    }

    @Test func encapsulationAndItsLimits() throws {
        let key = try KEM.PrivateKey()
        let sent = try KEM.encapsulate(to: key.publicKey)
        let ciphertext = sent.ciphertext
        #expect(ciphertext.count == KEM.ciphertextSize && key.publicKey.count == KEM.publicKeySize)
        let received = try key.decapsulate(ciphertext.rawSpan)
        #expect([UInt8](copying: received.bytes) == [UInt8](copying: sent.secret.bytes))
        // A forged ciphertext gives an unrelated secret.
        var forged = ciphertext
        forged[100] ^= 1
        let other = try key.decapsulate(forged.rawSpan)
        #expect([UInt8](copying: other.bytes) != [UInt8](copying: received.bytes))
        for count in [0, 1_119, 1_121] {
            let wrong = [UInt8](repeating: 1, count: count)
            #expect(throws: CryptoError.invalidCiphertext) { _ = try key.decapsulate(wrong.rawSpan) }
        }
        for count in [0, 1_215, 1_217] {
            #expect(throws: CryptoError.invalidKey) {
                _ = try KEM.encapsulate(to: [UInt8](repeating: 1, count: count))
            }
        }
        // ML-KEM coefficients that are not reduced are not a key (FIPS 203, section 7.2).
        #expect(throws: CryptoError.invalidKey) {
            _ = try KEM.encapsulate(to: [UInt8](repeating: 0xff, count: KEM.publicKeySize))
        }
        #expect(throws: CryptoError.self) { _ = try KEM.PrivateKey(seed: [1, 2, 3]) }
    }
}
