import OnionCrypto
import Testing
import Wire

@testable import Onion

/// One layer in one direction: counters, ratchet, windows.
@Suite struct LayerTests {
    let start: UInt64 = 1 << 46 + 12_345

    private func pair(_ suite: Suite = .chacha20poly1305) -> HopLayers {
        let secret = Secret.random()
        return HopLayers(
            opener: LayerOpener(suite, secret.clone(), start: start),
            sealer: LayerSealer(suite, secret, start: start, now: at(0)))
    }

    private func blank() -> [UInt8] { [UInt8](repeating: 3, count: 160) }

    @Test func theNumberIsRelativeToTheStart() {
        var layers = pair()
        var packet = blank()
        var span = packet.mutableRawSpan
        #expect(layers.sealer.seal(&span, slot: 4, now: at(0)) == 0)
        #expect(span.hopCounter(4) == start)
        #expect(layers.opener.open(&span, slot: 4, now: at(0)) == .opened(0))
        span.setHopCounter(4, start - 1)
        #expect(layers.opener.open(&span, slot: 4, now: at(0)) == .dropped(.beforeStart))
    }

    @Test func theRatchetTurnsAfter2To18Packets() {
        var layers = pair(Suite.aes256gcm.isAvailable ? .aes256gcm : .chacha20poly1305)
        var packet = blank()
        var span = packet.mutableRawSpan
        for number in 0..<UInt64(1 << 18) { _ = layers.sealer.seal(&span, slot: 4, now: at(0)) ?? number }
        #expect(span.hopCounter(4) == start + 1 << 18 - 1)
        #expect(layers.opener.open(&span, slot: 4, now: at(0)) == .opened(1 << 18 - 1))
        #expect(layers.sealer.seal(&span, slot: 4, now: at(0)) == 1 << 18)
        #expect(span.hopCounter(4) == 1 << 48 | (start + 1 << 18))
        #expect(layers.opener.open(&span, slot: 4, now: at(0)) == .opened(1 << 18))
    }

    @Test func theRatchetTurnsAfter60Seconds() {
        var layers = pair()
        var packet = blank()
        var span = packet.mutableRawSpan
        for (time, epoch) in [(0.0, UInt64(0)), (59.9, 0), (60, 1), (119, 1), (120, 2), (1_000, 3), (1_001, 3)] {
            _ = layers.sealer.seal(&span, slot: 2, now: at(time))
            #expect(span.hopCounter(2) >> 48 == epoch, "at \(time)")
        }
    }

    /// Who steals the secret of an epoch opens the packets of this epoch, and none of the epoch before.
    @Test func k1_aStolenSecretOpensNothingOfTheEpochBefore() {
        let secret = Secret.random()
        var sealer = LayerSealer(.chacha20poly1305, secret.clone(), start: start, now: at(0))
        let stolen = AEADKey(.chacha20poly1305, secret.derive("ratchet"))
        for (time, isOpened) in [(0.0, false), (60, true)] {
            var packet = blank()
            var span = packet.mutableRawSpan
            _ = sealer.seal(&span, slot: 4, now: at(time))
            let counter = span.hopCounter(4)
            let isGood = stolen.open(&span, from: Packet.layerOffset(4), to: span.byteCount, counter: counter)
            #expect(isGood == isOpened, "at \(time)")
        }
    }

    @Test func theKeyBeforeLivesFiveSeconds() {
        var layers = pair()
        var late: [[UInt8]] = []
        for _ in 0..<3 {
            var packet = blank()
            var span = packet.mutableRawSpan
            _ = layers.sealer.seal(&span, slot: 4, now: at(0))
            late.append(packet)
        }
        var packet = blank()
        var span = packet.mutableRawSpan
        _ = layers.sealer.seal(&span, slot: 4, now: at(60))
        #expect(layers.opener.open(&span, slot: 4, now: at(60)) == .opened(3))
        layers.opener.commit(3)
        #expect(layers.opener.holdsPrevious == true)
        var first = late[0].mutableRawSpan
        #expect(layers.opener.open(&first, slot: 4, now: at(60)) == .opened(0))
        var second = late[1].mutableRawSpan
        #expect(layers.opener.open(&second, slot: 4, now: at(64.9)) == .opened(1))
        var third = late[2].mutableRawSpan
        #expect(layers.opener.open(&third, slot: 4, now: at(65)) == .dropped(.wrongEpoch))
        #expect(layers.opener.holdsPrevious == false)
    }

    @Test func anIdleOpenerForgetsTheKeyBefore() {
        var layers = pair()
        var packet = blank()
        var span = packet.mutableRawSpan
        _ = layers.sealer.seal(&span, slot: 4, now: at(60))
        #expect(layers.opener.open(&span, slot: 4, now: at(60)) == .opened(0))
        layers.opener.forgetPrevious(at(64))
        #expect(layers.opener.holdsPrevious == true)
        layers.opener.forgetPrevious(at(65))
        #expect(layers.opener.holdsPrevious == false)
    }

    @Test func o9_theOpenerLooksAhead32EpochsAndNoFurther() {
        for lost in [1, 31, 32] {
            var layers = pair()
            var packet = blank()
            var span = packet.mutableRawSpan
            for epoch in 1...lost { _ = layers.sealer.seal(&span, slot: 4, now: at(Double(epoch) * 60)) }
            #expect(layers.opener.open(&span, slot: 4, now: at(4_000)) == .opened(UInt64(lost - 1)))
            // The opener has moved to that epoch: the next packet opens.
            packet = blank()
            var next = packet.mutableRawSpan
            _ = layers.sealer.seal(&next, slot: 4, now: at(Double(lost) * 60))
            #expect(layers.opener.open(&next, slot: 4, now: at(4_000)) == .opened(UInt64(lost)))
        }
        var layers = pair()
        var packet = blank()
        var span = packet.mutableRawSpan
        for epoch in 1...33 { _ = layers.sealer.seal(&span, slot: 4, now: at(Double(epoch) * 60)) }
        #expect(layers.opener.open(&span, slot: 4, now: at(4_000)) == .dropped(.wrongEpoch))
    }

    @Test func o9_aForgedEpochMovesNothing() {
        var layers = pair()
        var packet = blank()
        var span = packet.mutableRawSpan
        _ = layers.sealer.seal(&span, slot: 4, now: at(0))
        for ahead in [UInt64(1), 5, 32] {
            var forged = packet
            var forgedSpan = forged.mutableRawSpan
            forgedSpan.setHopCounter(4, ahead << 48 | (start + 1_000_000))
            #expect(layers.opener.open(&forgedSpan, slot: 4, now: at(0)) == .dropped(.badTag))
        }
        var real = packet
        var realSpan = real.mutableRawSpan
        #expect(layers.opener.open(&realSpan, slot: 4, now: at(0)) == .opened(0))
        #expect(layers.opener.holdsPrevious == false)
    }

    @Test func o17_aFailedOpenWipesWhatItCovered() {
        var layers = pair()
        var packet = blank()
        do {
            var span = packet.mutableRawSpan
            _ = layers.sealer.seal(&span, slot: 4, now: at(0))
        }
        packet[159] ^= 1
        var span = packet.mutableRawSpan
        #expect(layers.opener.open(&span, slot: 4, now: at(0)) == .dropped(.badTag))
        #expect(packet[132...].allSatisfy { $0 == 0 })
    }

    @Test func aNumberIsRefusedOnlyAfterItsCommit() {
        var layers = pair()
        var packet = blank()
        var span = packet.mutableRawSpan
        _ = layers.sealer.seal(&span, slot: 4, now: at(0))
        var copy = packet
        var copySpan = copy.mutableRawSpan
        #expect(layers.opener.open(&copySpan, slot: 4, now: at(0)) == .opened(0))
        copy = packet
        copySpan = copy.mutableRawSpan
        #expect(layers.opener.open(&copySpan, slot: 4, now: at(0)) == .opened(0))
        layers.opener.commit(0)
        copy = packet
        copySpan = copy.mutableRawSpan
        #expect(layers.opener.open(&copySpan, slot: 4, now: at(0)) == .dropped(.replayed))
    }

    @Test func o10_aSealerStopsBeforeItsEpochsRunOut() {
        var layers = pair()
        var packet = blank()
        var span = packet.mutableRawSpan
        var last: UInt64 = 0
        for epoch in 0...65_535 {
            #expect(layers.sealer.seal(&span, slot: 4, now: at(Double(epoch) * 60)) != nil)
            #expect(epoch == 0 || span.hopCounter(4) > last)
            last = span.hopCounter(4)
        }
        #expect(layers.sealer.seal(&span, slot: 4, now: at(65_536 * 60)) == nil)
    }

    @Test func o10_everyPathHasKeysAndStartsOfItsOwn() {
        let a = HopKeys(secret: Secret.random(), slot: 1, suite: .chacha20poly1305)
        let b = HopKeys(secret: Secret.random(), slot: 1, suite: .chacha20poly1305)
        #expect(a.forwardStart != b.forwardStart && a.forwardStart != a.backwardStart)
        #expect(a.forwardStart < 1 << 47 && b.backwardStart < 1 << 47)
        // What one key of the four seals, none of the others opens.
        for sealing in 0..<4 {
            for opening in 0..<4 {
                func key(_ number: Int) -> Secret {
                    switch number {
                    case 0: a.forward.clone()
                    case 1: a.backward.clone()
                    case 2: b.forward.clone()
                    default: b.backward.clone()
                    }
                }
                var sealer = LayerSealer(.chacha20poly1305, key(sealing), start: 5, now: at(0))
                var opener = LayerOpener(.chacha20poly1305, key(opening), start: 5)
                var packet = blank()
                var span = packet.mutableRawSpan
                _ = sealer.seal(&span, slot: 4, now: at(0))
                let isSame = sealing == opening
                #expect(opener.open(&span, slot: 4, now: at(0)) == (isSame ? .opened(0) : .dropped(.badTag)))
            }
        }
    }
}
