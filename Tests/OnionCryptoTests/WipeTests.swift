import Glibc
import Testing
import Wire

@testable import OnionCrypto

/// Copies of ended secrets in the memory of this process.
///
/// The tests run in turn. A search holds a copy of the memory that it reads, and another search would find its secret
/// there.
@Suite(.serialized) struct WipeTests {
    /// The writable mappings, without those that a sanitizer reserves.
    private func mappings() -> [Range<UInt>] {
        var text: [UInt8] = []
        let file = unsafe open("/proc/self/maps", O_RDONLY)
        defer { _ = close(file) }
        var part = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe read(file, &part, part.count)
            guard count > 0 else { break }
            text += part[..<count]
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
            guard words[1].hasPrefix("rw"), ends.count == 2, ends[1] - ends[0] < 1 << 30 else { return nil }
            return ends[0]..<ends[1]
        }
    }

    /// The number of places that hold the complement of the 16 bytes of `inverted`.
    private func places(of inverted: ArraySlice<UInt8>) throws -> Int {
        let size = 1 << 20
        let whole = size + 4_096
        guard let area = unsafe mmap(nil, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) else {
            return -1
        }
        defer { _ = unsafe munmap(area, whole) }
        let own = UInt(bitPattern: area)..<UInt(bitPattern: area) + UInt(whole)
        let needle = unsafe area + size
        let first = ~inverted[inverted.startIndex]
        for (offset, byte) in inverted.enumerated() {
            unsafe needle.storeBytes(of: ~byte, toByteOffset: offset, as: UInt8.self)
        }
        let memory = unsafe open("/proc/self/mem", O_RDONLY)
        defer { _ = close(memory) }
        try #require(memory >= 0)
        var found = 0
        for mapping in mappings() {
            var start = mapping.lowerBound
            while start < mapping.upperBound {
                let count = unsafe pread(memory, area, min(size, Int(mapping.upperBound - start)), off_t(start))
                guard count > 16 else { break }
                var offset = 0
                while offset <= count - 16,
                    let hit = unsafe memchr(area + offset, Int32(first), count - 15 - offset)
                {
                    offset = unsafe hit - UnsafeMutableRawPointer(area)
                    if unsafe memcmp(hit, needle, 16) == 0, !own.contains(start + UInt(offset)) { found += 1 }
                    offset += 1
                }
                start += UInt(count - 15)
            }
        }
        return found
    }

    /// Calls `look` while there are `count` more copies of `secret`: too many for all their memory to be in use again
    /// soon after they end.
    private func withClones(_ count: Int, of secret: borrowing Secret, _ look: () throws -> Void) rethrows {
        guard count > 0 else { return try look() }
        let clone = secret.clone()
        try withClones(count - 1, of: clone, look)
    }

    @Test(arguments: [false, true]) func k4_aSecretThatEndsLeavesNothing(isLocked: Bool) throws {
        let inverted = SecureRandom.bytes(32)
        do {
            var plain = inverted.map { ~$0 }
            let secret = Secret(copying: plain.rawSpan, locked: isLocked)
            wipe(&plain)
            try withClones(8, of: secret) {
                let found = try places(of: inverted[16...])
                #expect(found == 9)
            }
        }
        #expect(try places(of: inverted[16...]) == 0)
    }

    /// The nonce of a proof, or the hash that the nonce follows from, reveals the key.
    @Test func s19_aProofsNonceLeavesNothing() throws {
        let seed = SecureRandom.bytes(32)
        let key = SigningKey(seed: Secret(copying: seed.rawSpan))
        // The nonce follows from the second half of the seed's hash. The key ends before the search.
        var hash = SigningKey.sha512(seed)
        let inverted = hash[32...].map { ~$0 }
        wipe(&hash)
        for input in 0..<20 as Range<UInt8> { #expect(key.prove([input].rawSpan).count == SigningKey.proofSize) }
        #expect(try places(of: inverted[16...]) == 0)
    }

    /// The scalar is as good as the identity's own; the nonce prefix reveals it together with one signature.
    @Test func sv1_aBlindedKeyLeavesNothing() throws {
        var inverted: [[UInt8]] = []
        do {
            let seed = SecureRandom.bytes(32)
            let identity = SigningKey(seed: Secret(copying: seed.rawSpan))
            let own = identity.expandedScalar()
            let key = BlindedKey(identity, for: .service, in: TimePeriod(number: 1), network: Bytes32())
            func keep(_ secret: borrowing Secret) {
                var copy = [UInt8](copying: secret.bytes)
                inverted.append(copy.map { ~$0 })
                wipe(&copy)
            }
            keep(key.scalar)
            keep(key.noncePrefix)
            keep(own.scalar)
            keep(own.prefix)
            for message in 0..<20 as Range<UInt8> { #expect(key.sign([message].rawSpan).count == 64) }
            #expect(try places(of: inverted[0][16...]) == 1)
        }
        for secret in inverted { #expect(try places(of: secret[16...]) == 0) }
    }

    /// A service wraps the cookie of its descriptors for each of its clients.
    @Test func sv19_aSecretThatIsSealedLeavesNothing() throws {
        let inverted = SecureRandom.bytes(32)
        do {
            var plain = inverted.map { ~$0 }
            let secret = Secret(copying: plain.rawSpan)
            wipe(&plain)
            let key = AEADKey(.chacha20poly1305, Secret.random())
            for counter in 0..<20 as Range<UInt64> {
                var sealed = key.seal(secret.bytes, associated: RawSpan(), counter: counter)
                #expect(sealed.count == 48)
                guard var opened = key.open(sealed.rawSpan, associated: RawSpan(), counter: counter) else { continue }
                #expect(opened.count == 32)
                wipe(&opened)
                wipe(&sealed)
            }
            #expect(try places(of: inverted[16...]) == 1)
        }
        #expect(try places(of: inverted[16...]) == 0)
    }

    @Test(arguments: Suite.allCases.filter(\.isAvailable)) func k4_aKeyThatEndsLeavesNothing(suite: Suite) throws {
        let inverted = SecureRandom.bytes(32)
        do {
            var plain = inverted.map { ~$0 }
            let secret = Secret(copying: plain.rawSpan)
            wipe(&plain)
            let key = AEADKey(suite, secret)
            #expect(try places(of: inverted[16...]) >= 2)
            var packet = [UInt8](repeating: 1, count: 64)
            var span = packet.mutableRawSpan
            key.seal(&span, from: 16, to: 64, counter: 5)
        }
        #expect(try places(of: inverted[16...]) == 0)
    }
}
