import OnionCrypto
import Testing
import Wire

@testable import Onion

/// Whole paths: every hop is real, and arrays take the place of links.
@Suite struct PathTests {
    static let shapes: [(Int, Suite, Int)] = (1...4).flatMap { hops in
        Suite.allCases.filter(\.isAvailable).flatMap { suite in
            [Packet.minimumSize, Packet.defaultSize].map { (hops, suite, $0) }
        }
    }

    @Test(arguments: shapes) func packetsPassBothWays(hops: Int, suite: Suite, size: Int) throws {
        let chain = try Chain(hops, suite)
        #expect(try chain.build() == .path)
        for number in 0..<UInt64(3) {
            var packet = chain.clientPacket(size: size, fill: 0x11)
            let verdict = chain.forward(&packet)
            #expect(verdict == .deliver(path: chain.nodes[hops - 1].handle!, number: number))
            #expect(packet[Packet.payloadOffset...].allSatisfy { $0 == 0x11 } && packet.count == size)
            var answer = chain.terminalPacket(size: size, fill: 0x22)
            #expect(chain.backward(&answer) == .packet(number))
            #expect(answer[Packet.payloadOffset...].allSatisfy { $0 == 0x22 } && answer.count == size)
        }
    }

    @Test(arguments: 1...4, Suite.allCases.filter(\.isAvailable))
    func o1_aChangedBitDiesAtTheNextHonestHop(hops: Int, suite: Suite) throws {
        let chain = try Chain(hops, suite)
        #expect(try chain.build() == .path)
        for target in 0..<hops {
            let covered = Packet.slotOffset(target + 1 == hops ? 4 : target + 1)..<Packet.minimumSize
            for byte in covered where byte < Packet.payloadOffset + 3 || byte % 97 == 0 || byte > 1_229 {
                var packet = chain.clientPacket()
                let verdict = chain.forward(&packet) { index, bytes in
                    if index == target { bytes[byte] ^= 1 << (byte & 7) }
                    #expect(index <= target, "byte \(byte) passed hop \(target)")
                }
                guard case .drop = verdict else {
                    Issue.record("byte \(byte) into hop \(target) was delivered")
                    continue
                }
            }
        }
        for source in 0..<hops {
            let slot = source + 1 == hops ? 4 : source + 1
            for byte in Packet.slotOffset(slot)..<Packet.minimumSize
            where byte < Packet.payloadOffset + 3 || byte % 97 == 0 || byte > 1_229 {
                var packet = chain.terminalPacket()
                let opening = chain.backward(&packet) { index, bytes in
                    if index == source { bytes[byte] ^= 1 << (byte & 7) }
                }
                guard case .dropped = opening else {
                    Issue.record("byte \(byte) out of hop \(source) reached the client")
                    continue
                }
            }
        }
        // None of these packets has harmed the path.
        var packet = chain.clientPacket()
        guard case .deliver = chain.forward(&packet) else {
            Issue.record("the path is dead")
            return
        }
    }

    @Test func o2_o16_countersAndSlotsDifferOnEveryLinkAndCountOnTheirOwn() throws {
        let chain = try Chain(4)
        #expect(try chain.build() == .path)
        var forward: [[UInt64]] = [], backward: [[UInt64]] = []
        for _ in 0..<3 {
            var seen: [UInt64] = []
            var slots: Set<[UInt8]> = []
            var packet = chain.clientPacket()
            _ = chain.forward(&packet) { index, bytes in
                seen.append(counter(bytes, index + 1))
                for slot in index + 1...4 { #expect(slots.insert(slotBytes(bytes, slot)).inserted) }
            }
            forward.append(seen)
            seen = []
            slots = []
            packet = chain.terminalPacket()
            _ = chain.backward(&packet) { index, bytes in
                seen.append(counter(bytes, index + 1))
                for slot in index + 1...4 { #expect(slots.insert(slotBytes(bytes, slot)).inserted) }
            }
            backward.append(seen)
        }
        #expect(Set(forward.joined()).count == 12 && Set(backward.joined()).count == 12)
        for hop in 0..<4 {
            #expect(forward[1][hop] == forward[0][hop] + 1 && backward[2][hop] == backward[1][hop] + 1)
        }
        // A number that the terminal skips changes no counter of the hops before it.
        chain.nodes[3].table.skipNumberAtTerminal(chain.nodes[3].handle!)
        var packet = chain.terminalPacket()
        var jumped: [UInt64] = []
        let opening = chain.backward(&packet) { index, bytes in jumped.append(counter(bytes, index + 1)) }
        #expect(opening == .packet(4))
        #expect(jumped[0] == backward[2][0] + 2)
        for hop in 1..<4 { #expect(jumped[hop] == backward[2][hop] + 1) }
    }

    @Test(arguments: 1...4) func o3_aReplayedPacketDiesAtTheFirstHopThatSawIt(hops: Int) throws {
        let chain = try Chain(hops)
        #expect(try chain.build() == .path)
        for into in 0..<hops {
            var copy: [UInt8] = []
            var packet = chain.clientPacket()
            guard case .deliver = chain.forward(&packet, on: { if $0 == into { copy = $1 } }) else {
                Issue.record("not delivered")
                return
            }
            #expect(chain.step(into, &copy, fromClient: true) == .drop(.replayed))
        }
        var copies: [[UInt8]] = []
        var packet = chain.terminalPacket()
        #expect(chain.backward(&packet, on: { index, bytes in copies.append(bytes) }) == .packet(0))
        for (offset, copy) in copies.enumerated() {
            var again = copy
            var opening = ClientOpening.packet(0)
            // The copy continues from the node that sent it.
            var index = hops - 1 - offset
            while index > 0 {
                index -= 1
                _ = chain.step(index, &again, fromClient: false)
            }
            var span = again.mutableRawSpan
            opening = chain.path!.open(&span, now: at(0))
            #expect(opening == .dropped(.replayed))
        }
    }

    @Test func o3_aPacketOfAnEarlierEpochIsStillAReplay() throws {
        let chain = try Chain(2)
        #expect(try chain.build() == .path)
        var first = chain.clientPacket(now: at(0))
        var copy = first
        _ = chain.forward(&first, now: at(0))
        var second = chain.clientPacket(now: at(61))
        #expect(counter(second, 1) >> 48 == 1)
        guard case .deliver(_, let number) = chain.forward(&second, now: at(61)) else {
            Issue.record("not delivered")
            return
        }
        #expect(number == 1)
        #expect(chain.forward(&copy, now: at(62)) == .drop(.replayed))
    }

    @Test func o4_anIDCountsOnlyFromItsOwnLink() throws {
        let chain = try Chain(3)
        #expect(try chain.build() == .path)
        let node = chain.nodes[1]
        let forward = node.table.forwardID(of: node.handle!)!
        let backward = node.table.backwardID(of: node.handle!)!
        #expect(PathID.index(of: forward) != PathID.index(of: backward))
        #expect(node.table.find(link: 101, pathID: forward) != .unknown)
        #expect(node.table.find(link: 102, pathID: backward) != .unknown)
        #expect(node.table.find(link: 102, pathID: forward) == .unknown)
        #expect(node.table.find(link: 101, pathID: backward) == .unknown)
        #expect(node.table.find(link: 7, pathID: forward) == .unknown)
        #expect(node.table.find(link: 101, pathID: forward ^ 1) == .unknown)
        #expect(node.table.find(link: 101, pathID: forward ^ 1 << 40) == .unknown)
        #expect(node.table.find(link: 101, pathID: forward ^ 1 << 60) == .unknown)
        #expect(node.table.find(link: 101, pathID: forward | UInt64(PathID.clientBit) << 32) == .unknown)
        #expect(node.table.find(link: 101, pathID: 0) == .unknown)
    }

    @Test func o5_aGuardSeesThreeAndFourHopsAlike() throws {
        for hops in 3...4 {
            let chain = try Chain(hops)
            #expect(try chain.build() == .path)
            var packet = chain.clientPacket()
            var shapes: [[Bool]] = []
            let verdict = chain.forward(&packet) { index, bytes in
                if index < 2 { shapes.append((1...4).map { slotBytes(bytes, $0).allSatisfy { $0 == 0 } }) }
            }
            #expect(verdict == .deliver(path: chain.nodes[hops - 1].handle!, number: 0))
            // Into the guard all slots are encrypted. After it, its own slot alone is zero.
            #expect(shapes == [[false, false, false, false], [true, false, false, false]])
            for node in chain.nodes {
                #expect(node.seenRecords.count == BuildMessage.recordsSize)
                for place in 0..<4 {  // no place is empty or repeated, whatever the length of the path
                    let record = node.seenRecords[place * 1_240..<(place + 1) * 1_240]
                    #expect(record.filter { $0 == 0 }.count < 40)
                }
            }
        }
    }

    /// A part of a payload that showed as it is, or the same on two links, would tell how much of a packet is filled.
    @Test(arguments: 1...4, [Packet.minimumSize, Packet.defaultSize, Packet.maximumSize])
    func o6_noPartOfAPayloadIsPlainOrTheSameOnTwoLinks(hops: Int, size: Int) throws {
        let chain = try Chain(hops)
        #expect(try chain.build() == .path)
        var seen: Set<[UInt8]> = []
        var links = 0
        func note(_ bytes: [UInt8], _ fill: UInt8) {
            links += 1
            // The last of these parts ends with the packet.
            for offset in stride(from: size - 8, through: Packet.payloadOffset, by: -8) {
                let part = [UInt8](bytes[offset..<offset + 8])
                #expect(part != [UInt8](repeating: fill, count: 8) && seen.insert(part).inserted)
            }
        }
        var packet = chain.clientPacket(size: size, fill: 0)
        let verdict = chain.forward(&packet) { _, bytes in note(bytes, 0) }
        #expect(verdict == .deliver(path: chain.nodes[hops - 1].handle!, number: 0))
        #expect(packet[Packet.payloadOffset...].allSatisfy { $0 == 0 } && packet.count == size)
        var answer = chain.terminalPacket(size: size, fill: 0)
        let opening = chain.backward(&answer) { _, bytes in note(bytes, 0) }
        #expect(opening == .packet(0))
        #expect(answer[Packet.payloadOffset...].allSatisfy { $0 == 0 } && answer.count == size)
        #expect(links == 2 * hops)
    }

    @Test(arguments: 2...4) func o15_marksInHeaderBytesAreGoneAfterOneHop(hops: Int) throws {
        let chain = try Chain(hops)
        try chain.build()
        // Forward: the hop before can write the bytes before a hop's own slot; they must not come out again.
        for marked in 0..<hops {
            var packet = chain.clientPacket()
            let own = Packet.slotOffset(marked + 1 == hops ? 4 : marked + 1)
            let verdict = chain.forward(&packet) { index, bytes in
                if index == marked {
                    for byte in Packet.firstSlotOffset..<own { bytes[byte] = 0xab }
                }
                if index == marked + 1 {
                    #expect(bytes[Packet.firstSlotOffset..<Packet.layerOffset(marked + 1)].allSatisfy { $0 == 0 })
                }
            }
            guard case .deliver = verdict else {
                Issue.record("not delivered")
                return
            }
            #expect(packet[Packet.firstSlotOffset..<Packet.payloadOffset].allSatisfy { $0 == 0 })
        }
        // Backward: the next hop can write the bytes before a hop's slot.
        for marked in 1..<hops {
            var packet = chain.terminalPacket()
            let own = Packet.slotOffset(marked + 1 == hops ? 4 : marked + 1)
            var wasChecked = false
            _ = chain.backward(&packet) { index, bytes in
                if index == marked {
                    for byte in Packet.firstSlotOffset..<min(own, Packet.slotOffset(marked)) { bytes[byte] = 0xab }
                }
                if index == marked - 1 {
                    wasChecked = true
                    #expect(
                        bytes[Packet.firstSlotOffset..<Packet.slotOffset(index + 1)].allSatisfy { $0 == 0 })
                }
            }
            #expect(wasChecked)
        }
        // The terminal overwrites all header bytes of the buffer that it was given.
        let packet = chain.terminalPacket()
        #expect(packet[Packet.firstSlotOffset..<Packet.slotOffset(4)].allSatisfy { $0 == 0 })
    }

    @Test(arguments: 1...4) func o17_aSpoiledCopyDoesNotDisplaceTheRealPacket(hops: Int) throws {
        let chain = try Chain(hops)
        try chain.build()
        var packet = chain.clientPacket()
        let verdict = chain.forward(&packet) { index, bytes in
            var spoiled = bytes
            spoiled[spoiled.count - 1] ^= 1
            #expect(chain.step(index, &spoiled, fromClient: true) == .drop(.badTag))
        }
        guard case .deliver = verdict else {
            Issue.record("the real packet was displaced")
            return
        }
        // At the client any layer may be the changed one.
        for source in 0..<hops {
            var real = chain.terminalPacket()
            var spoiled = real
            var copy: [UInt8] = []
            let opening = chain.backward(&spoiled) { index, bytes in
                if index == source { bytes[bytes.count - 1] ^= 1 }
                if index == 0 { copy = bytes }
            }
            #expect(opening == .dropped(.badTag))
            // No window has moved, not even of the layers that verified: the same bytes fail for the same reason.
            var span = copy.mutableRawSpan
            #expect(chain.path!.open(&span, now: at(0)) == .dropped(.badTag))
            #expect(chain.backward(&real) == .packet(UInt64(source)))
        }
    }

    @Test func aClientMaySkipNumbers() throws {
        let chain = try Chain(3)
        try chain.build()
        chain.path!.skipNumber()
        var packet = chain.clientPacket()
        #expect(chain.forward(&packet) == .deliver(path: chain.nodes[2].handle!, number: 1))
        #expect(chain.nextNumber == 2)
    }
}
