import Testing
import Wire

@testable import OnionCrypto

@Suite struct BlindedKeyTests {
    private let network = Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan)

    private func identity(_ number: UInt8) -> SigningKey {
        SigningKey(seed: Secret(copying: [UInt8](repeating: number, count: 32).rawSpan))
    }

    private func verifies(_ signature: [UInt8], _ message: [UInt8], _ key: Bytes32) -> Bool {
        SigningKey.verify(signature.rawSpan, of: message.rawSpan, by: key)
    }

    @Test func bothHalvesBelongTogether() throws {
        for number in 1...20 as ClosedRange<UInt8> {
            let identity = identity(number)
            for purpose in BlindingPurpose.allCases {
                let period = TimePeriod(number: UInt32(number) * 1_000)
                let key = BlindedKey(identity, for: purpose, in: period, network: network)
                let publicKey = try BlindedKey.publicKey(
                    of: identity.publicKey, for: purpose, in: period, network: network)
                #expect(key.publicKey == publicKey && publicKey != identity.publicKey)
                #expect(PrimeOrderGroup.contains(publicKey))
                for length in [0, 1, 32, 64, 200] {
                    let message = [UInt8](repeating: number, count: length)
                    let signature = key.sign(message.rawSpan)
                    #expect(verifies(signature, message, publicKey))
                    #expect(key.sign(message.rawSpan) == signature)
                }
            }
        }
    }

    @Test("SV2: keys of other periods, purposes, networks and identities have nothing in common")
    func sv2_othersDiffer() throws {
        let other = Bytes32(copying: [UInt8](repeating: 8, count: 32).rawSpan)
        var seen: Set<Bytes32> = []
        var nonces: Set<[UInt8]> = []
        var prefixes: Set<[UInt8]> = []
        let message: [UInt8] = [1, 2, 3]
        for number in 1...3 as ClosedRange<UInt8> {
            let identity = identity(number)
            for purpose in BlindingPurpose.allCases {
                for period in [0, 1, 256, .max] as [UInt32] {
                    for network in [network, other] {
                        let key = BlindedKey(
                            identity, for: purpose, in: TimePeriod(number: period), network: network)
                        let signature = key.sign(message.rawSpan)
                        seen.insert(key.publicKey)
                        nonces.insert(Array(signature[..<32]))
                        prefixes.insert([UInt8](copying: key.noncePrefix.bytes))
                    }
                }
            }
        }
        #expect(seen.count == 48 && nonces.count == 48 && prefixes.count == 48)
    }

    @Test("SV1: a changed bit of a signature, its message or its key is refused")
    func sv1_everyBit() throws {
        let key = BlindedKey(identity(1), for: .service, in: TimePeriod(number: 1), network: network)
        let message: [UInt8] = [1, 2, 3]
        let signature = key.sign(message.rawSpan)
        for bit in 0..<512 {
            var changed = signature
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!verifies(changed, message, key.publicKey), "bit \(bit)")
        }
        for bit in 0..<256 {
            var other = key.publicKey.array
            other[bit / 8] ^= 1 << UInt8(bit % 8)
            let publicKey = Bytes32(copying: other.rawSpan)
            #expect(!verifies(signature, message, publicKey), "bit \(bit)")
        }
        let longer = message + [0]
        #expect(!verifies(signature, longer, key.publicKey))
        #expect(!verifies(signature, message, identity(1).publicKey))
    }

    @Test("SV5: a key that is not of the group is not blinded")
    func sv5_twinsAreNotBlinded() throws {
        let key = identity(1).publicKey
        let low = try lowOrderPoints.map { try bytes32($0) }
        for twin in low + low.dropFirst().compactMap({ sum(key, $0) }) {
            #expect(throws: CryptoError.invalidKey) {
                _ = try BlindedKey.publicKey(
                    of: twin, for: .service, in: TimePeriod(number: 1), network: network)
            }
        }
    }
}
