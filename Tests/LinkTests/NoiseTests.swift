import OnionCrypto
import Testing
import Wire

@testable import Link

/// Published vectors of the three patterns: noise-c's for IK, cacophony's for NK and NNpsk0.
@Suite struct NoiseTests {
    /// One published vector: keys and texts in hexadecimal.
    struct Vector: Sendable, CustomTestStringConvertible {
        let name: String
        let pattern: NoisePattern
        let prologue: String
        var psk: String?
        let hash: String
        /// Pairs of payload and ciphertext; the first two are the handshake, then each side in turn.
        let messages: [(String, String)]
        var testDescription: String { name }
    }

    static let initiatorStatic = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"
    static let initiatorEphemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"
    static let responderStatic = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"
    static let responderEphemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"
    static let responderPublic = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62"

    static let payloads = [
        "4c756477696720766f6e204d69736573", "4d757272617920526f746862617264", "462e20412e20486179656b",
        "4361726c204d656e676572", "4a65616e2d426170746973746520536179", "457567656e2042f6686d20766f6e2042617765726b",
    ]

    static let vectors = [
        Vector(
            name: "IK", pattern: .ik, prologue: "50726f6c6f677565313233",
            hash: "00e51d2aac81a9b8ebe441d6af3e1c8efc0f030cc608332edcb42588ff6a0ce2"
                + "6415ddc106e95277a5e6d54132f1e5245976b89caf96d262f1fe5a7f0c55c078",
            messages: Array(
                zip(
                    payloads,
                    [
                        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
                            + "ba83a447b38c83e327ad936929812f624884847b7831e95e197b2f797088efdd232fe541af156ec6d0657602902a8c3e"
                            + "e64e470f4b6fcd9298ce0b56fe20f86e60d9d933ec6e103ffb09e6001d6abb64",
                        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
                            + "9f069b267a06b3de3ecb1043bcb09807c6cd101f3826192a65f11ef3fe4317",
                        "cd54383060e7a28434cca27fb1cc524cfbabeb18181589df219d07",
                        "a856d3bf0246bfc476c655009cd1ed677b8dcc5b349ae8ef2a05f2",
                        "49063084b2c51f098337cb8a13739ac848f907e67cfb2cc8a8b60586467aa02fc7",
                        "8b9709d23b47e4639df7678d7a21741eba4ef1e9c60383001c7435549c20f9d56f30e935d3",
                    ]))),
        Vector(
            name: "NK", pattern: .nk, prologue: "4a6f686e2047616c74",
            // Computed separately from this code over the vector's public transcript; our copy of the vectors has a
            // different hash.
            hash: "f87aa4eb6416e5b0d2b6e6f0b7bc41f3c5986a5d32d55c08d67cbd412f3ec2fa"
                + "04d8e358ab95b3bbfab054a140a98eccf4284bb6309b600981d451ecac484932",
            messages: Array(
                zip(
                    payloads,
                    [
                        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
                            + "f3041e39b0c8ba56008f2d1183fea6ac83564ead0267b0842ec4c521ed1e1407",
                        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
                            + "2281dcc1835131f305dca14525e15e27d1f32294aa835e40fc18be480c1db9",
                        "357e24e9f28ba22080666f7efacc01b2a0a4e358e742aeeff2aaf5",
                        "8b23b34ff3169de06a39551e969ca7876cc5122a4acff74bf2ec29",
                        "5c104779b6f36e59fca73ed94b0ae092eae1d76dd109caf5060aaaedba385d7076",
                        "34ae0518d0cd3aa641ed372ea94935ceecd87f8c4b422ce21a33d3f6f5493891e3e915d83f",
                    ]))),
        Vector(
            name: "NNpsk0", pattern: .nnPSK0, prologue: "4a6f686e2047616c74",
            psk: "54686973206973206d7920417573747269616e20706572737065637469766521",
            hash: "ed5e9692d0ab507b6c2beec3f584fd5b127817a9d20b26cd50aa72c507260fa3"
                + "1aa7d88dd3723316338af37ce0b4cfb2923aeb848bbf2b934911306f01ffc963",
            messages: Array(
                zip(
                    payloads,
                    [
                        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
                            + "ed63df2f5a12aee1185ee9c50305f2ecf12421dcb53c047a63b784cf7c54a105",
                        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
                            + "0e0fe7d5c0c9b92f7478716c8852f1b4f389edb75e3ebe546fafafd5b6f0f7",
                        "0fe04b26dcfbb69f8a6a94c61f1a26ef88769218d32f5d17c068a6",
                        "2239e0c540c01f09eb1f4cc5258fd5acfefff18a5a3773f21b7bfe",
                        "f216cb03d30fb8af1e561fe02a07552d09b416e27a75e62c77d193718b0bdaae9f",
                        "6e8baf98b944184dd7dc5ef14d8108cbeca626de118a5460f3308e294d61e17238bce29bd9",
                    ]))),
    ]

    @Test("Noise: published vectors", arguments: vectors) func publishedVector(_ vector: Vector) throws {
        let prologue = hex(vector.prologue)
        let initiatorIdentity = LinkIdentity(testing: AgreementKey(secret(Self.initiatorStatic)))
        let responderIdentity = LinkIdentity(testing: AgreementKey(secret(Self.responderStatic)))
        let remote = try #require(Bytes32(hex(Self.responderPublic)))
        #expect(responderIdentity.linkKey == remote)

        var initiator = NoiseHandshake(
            initiator: vector.pattern, prologue: prologue.rawSpan, identity: initiatorIdentity, remoteStatic: remote,
            psk: vector.psk.map { secret($0) }, ephemeral: AgreementKey(secret(Self.initiatorEphemeral)))
        var responder = NoiseHandshake(
            responder: vector.pattern, prologue: prologue.rawSpan, identity: responderIdentity,
            psk: vector.psk.map { secret($0) }, ephemeral: AgreementKey(secret(Self.responderEphemeral)))

        let first = try initiator.writeFirst(hex(vector.messages[0].0).rawSpan)
        #expect(first == hex(vector.messages[0].1))
        #expect(try responder.readFirst(first.rawSpan) == hex(vector.messages[0].0))
        if vector.pattern == .ik { #expect(responder.remoteStatic == initiatorIdentity.linkKey) }
        let written = try responder.writeSecond(hex(vector.messages[1].0).rawSpan)
        #expect(written.bytes == hex(vector.messages[1].1))
        #expect(written.hash == hex(vector.hash))

        // A spoiled answer leaves the initiator as it was.
        let answer = written.bytes
        var spoiled = answer
        spoiled[40] ^= 1
        #expect(throws: NoiseError.notAuthentic) { _ = try initiator.readSecond(spoiled.rawSpan) }
        let read = try initiator.readSecond(answer.rawSpan)
        #expect(read.bytes == hex(vector.messages[1].0))
        #expect(read.hash == hex(vector.hash))

        let keys = read.takeKeys()
        let mirror = written.takeKeys()
        for index in 2..<vector.messages.count {
            let isInitiators = index % 2 == 0
            let key = AEADKey(.chacha20poly1305, isInitiators ? keys.initiator.clone() : keys.responder.clone())
            let other = AEADKey(.chacha20poly1305, isInitiators ? mirror.initiator.clone() : mirror.responder.clone())
            let sealed = key.seal(
                hex(vector.messages[index].0).rawSpan, associated: RawSpan(), counter: UInt64(index / 2 - 1))
            #expect(sealed == hex(vector.messages[index].1))
            let opened = other.open(sealed.rawSpan, associated: RawSpan(), counter: UInt64(index / 2 - 1))
            #expect(opened == hex(vector.messages[index].0))
        }
    }

    @Test("O12: a key of low order is refused", arguments: [0, 1]) func lowOrder(_ lowByte: UInt8) throws {
        var point = [UInt8](repeating: 0, count: 32)
        point[0] = lowByte
        let identity = LinkIdentity(SigningKey())
        var responder = NoiseHandshake(responder: .nk, prologue: RawSpan(), identity: identity)
        let message = point + [UInt8](repeating: 0, count: 100)
        #expect(throws: NoiseError.lowOrderPoint) { _ = try responder.readFirst(message.rawSpan) }

        var initiator = NoiseHandshake(initiator: .nk, prologue: RawSpan(), remoteStatic: identity.linkKey)
        _ = try initiator.writeFirst(RawSpan())
        #expect(throws: NoiseError.lowOrderPoint) { _ = try initiator.readSecond(message.rawSpan) }
    }

    @Test(
        "Noise: messages that are too short are refused, and those of the least length are read",
        arguments: [(NoisePattern.ik, 96), (.nk, 48), (.nnPSK0, 48)])
    func short(_ pattern: NoisePattern, _ least: Int) throws {
        let (node, peer) = (LinkIdentity(SigningKey()), LinkIdentity(SigningKey()))
        func psk() -> Secret? {
            pattern == .nnPSK0 ? Secret(copying: [UInt8](repeating: 7, count: 32).rawSpan) : nil
        }
        func responder() -> NoiseHandshake {
            NoiseHandshake(responder: pattern, prologue: RawSpan(), identity: node, psk: psk())
        }
        var initiator = NoiseHandshake(
            initiator: pattern, prologue: RawSpan(), identity: peer, remoteStatic: node.linkKey, psk: psk())
        let first = try initiator.writeFirst(RawSpan())
        #expect(first.count == least)
        for count in 0..<least {
            var responder = responder()
            let message = Array(first.prefix(count))
            #expect(throws: NoiseError.tooShort) { _ = try responder.readFirst(message.rawSpan) }
        }
        var whole = responder()
        #expect(try whole.readFirst(first.rawSpan) == [])
        let second = try whole.writeSecond(RawSpan()).bytes
        #expect(second.count == NoisePattern.secondOverhead)
        for count in 0..<second.count {
            let message = Array(second.prefix(count))
            #expect(throws: NoiseError.tooShort) { _ = try initiator.readSecond(message.rawSpan) }
        }
        let read = try initiator.readSecond(second.rawSpan)
        #expect(read.bytes == [])
    }
}

/// The bytes that `text` spells in hexadecimal.
func hex(_ text: String) -> [UInt8] {
    let digits = text.utf8.map { $0 > 0x39 ? $0 - 0x57 : $0 - 0x30 }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// The secret that `text` spells in hexadecimal.
func secret(_ text: String) -> Secret { Secret(copying: hex(text).rawSpan) }
