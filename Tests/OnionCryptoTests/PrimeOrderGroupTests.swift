import CLibSodium
import Testing
import Wire

@testable import OnionCrypto

/// The points of low order of edwards25519, each in its canonical form.
let lowOrderPoints = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]

/// The sum of two points, neither of which need be of the group.
func sum(_ point: Bytes32, _ other: Bytes32) -> Bytes32? {
    var bytes = [UInt8](repeating: 0, count: 32)
    guard unsafe crypto_core_ed25519_add(&bytes, point.array, other.array) == 0 else { return nil }
    return Bytes32(bytes)
}

@Suite struct PrimeOrderGroupTests {
    private let keys = (1...8 as ClosedRange<UInt8>).map {
        SigningKey(seed: Secret(copying: [UInt8](repeating: $0, count: 32).rawSpan)).publicKey
    }

    @Test func keysAreOfTheGroup() {
        #expect(PrimeOrderGroup.isSound)
        #expect(PrimeOrderGroup.contains(PrimeOrderGroup.base))
        for key in keys { #expect(PrimeOrderGroup.contains(key) && PrimeOrderGroup.isNegated(key)) }
    }

    @Test("SV5: a key plus each point of low order is refused, by the second check alone too")
    func sv5_twins() throws {
        for text in lowOrderPoints.dropFirst() {
            let low = try bytes32(text)
            for key in keys + [PrimeOrderGroup.base] {
                let twin = try #require(sum(key, low))
                #expect(twin != key)
                #expect(!PrimeOrderGroup.contains(twin) && !PrimeOrderGroup.isNegated(twin))
                // With a library whose own check lets it pass.
                #expect(!PrimeOrderGroup.check(twin) { _ in true })
            }
        }
        let half = try #require(sum(PrimeOrderGroup.base, try bytes32(lowOrderPoints[1])))
        #expect(PrimeOrderGroup.twins == [half, try bytes32(lowOrderPoints[1]), try bytes32(lowOrderPoints[0])])
    }

    @Test(
        "SV5: points of low order, other encodings and what is no point are refused",
        arguments: [
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "0200000000000000000000000000000000000000000000000000000000000000",
        ] + lowOrderPoints)
    func sv5_others(text: String) throws { #expect(!PrimeOrderGroup.contains(try bytes32(text))) }

    @Test("SV5: a library that takes a twin, or refuses a key, is noticed at the start")
    func sv5_selfTest() {
        let (base, twins) = (PrimeOrderGroup.base, PrimeOrderGroup.twins)
        #expect(PrimeOrderGroup.tells(twins, from: base) { PrimeOrderGroup.contains($0) })
        for twin in twins { #expect(!PrimeOrderGroup.tells(twins, from: base) { [base, twin].contains($0) }) }
        #expect(!PrimeOrderGroup.tells(twins, from: base) { _ in false })
    }
}
