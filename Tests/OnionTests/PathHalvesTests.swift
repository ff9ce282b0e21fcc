import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Onion

/// The two directions of a path share no state that changes, so each may belong to another worker.
@Suite struct PathHalvesTests {
    private let previous = PathNeighbour(link: 1, pathID: 77)
    private let next = PathNeighbour(link: 2, pathID: 88)

    /// A table that holds one path with the keys of `secret`.
    private func table(_ secret: borrowing Secret, worker: UInt8 = 0, slot: Int = 2) throws -> OnePath {
        var table = ForwardingTable(worker: worker, maximumPaths: 10)
        let path = try table.insert(
            HopKeys(secret: secret, slot: slot, suite: .chacha20poly1305), previous: previous, nextLink: next.link,
            linkLimit: 1, now: at(0))
        let ids = (forward: table.forwardID(of: path)!, backward: table.backwardID(of: path)!)
        guard table.connect(path, nextPathID: next.pathID) else { throw ForwardingTableError.full }
        return OnePath(table: table, path: path, forwardID: ids.forward, backwardID: ids.backward)
    }

    private struct OnePath: ~Copyable {
        var table: ForwardingTable
        let path: PathHandle
        let forwardID: UInt64
        let backwardID: UInt64

        mutating func forward(_ packet: inout [UInt8], now: Instant) -> ForwardingStep? {
            guard case .forward(let place) = table.find(link: 1, pathID: forwardID) else { return nil }
            var span = packet.mutableRawSpan
            return table.forward(place, &span, now: now)
        }

        mutating func backward(_ packet: inout [UInt8], now: Instant) -> ForwardingStep? {
            guard case .backward(let place) = table.find(link: 2, pathID: backwardID) else { return nil }
            var span = packet.mutableRawSpan
            return table.backward(place, &span, now: now)
        }
    }

    @Test func eachHalfDoesAloneWhatItDoesBesideTheOther() throws {
        var random = SeededGenerator(seed: 7)
        let secret = Secret.random()
        var whole = try table(secret)
        var first = try table(secret, worker: 1)
        var second = try table(secret, worker: 2)
        let client = HopKeys(secret: secret, slot: 2, suite: .chacha20poly1305)
        var ends = client.clientEnds(now: at(0))
        var kept: [[UInt8]] = []
        var passed = 0
        for step in 0..<600 {
            // The steps take several epochs of both directions.
            let now = at(Double(step) / 2)
            let blank = (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) }
            if Bool.random(using: &random) {
                var packet = blank
                var span = packet.mutableRawSpan
                #expect(ends.sealer.seal(&span, slot: 2, now: now) != nil)
                // Some packets are lost or late, and some are forged.
                var expected: ForwardingStep? = .send(link: 2, pathID: 88)
                switch Int.random(in: 0..<6, using: &random) {
                case 0:
                    kept.append(packet)
                    continue
                case 1:
                    if let late = kept.popLast() {
                        packet = late
                        // It may be too late: the key of its epoch is gone.
                        expected = nil
                    }
                case 2:
                    packet[150] ^= 1
                    expected = .drop(.badTag)
                default: break
                }
                var other = packet
                let verdict = try #require(whole.forward(&packet, now: now))
                #expect(first.forward(&other, now: now) == verdict, "step \(step)")
                #expect(packet == other, "step \(step)")
                if let expected { #expect(verdict == expected, "step \(step)") }
                if verdict == .send(link: 2, pathID: 88) { passed += 1 }
            } else {
                var (packet, other) = (blank, blank)
                let verdict = whole.backward(&packet, now: now)
                #expect(verdict == .send(link: 1, pathID: 77))
                #expect(second.backward(&other, now: now) == verdict)
                #expect(packet == other, "step \(step)")
            }
        }
        #expect(passed > 150)
        // The half that no packet passed has not changed.
        #expect(unsafe first.table.halves.backwards.pointer(0).pointee.sealer.nextNumber == 0)
        #expect(unsafe second.table.halves.forwards.pointer(0).pointee.opener.highest == 0)
    }

    @Test func anIDIsOneWorkersAndOneDirections() throws {
        let secret = Secret.random()
        let one = try table(secret, worker: 1)
        #expect(PathID.worker(of: one.forwardID) == 1 && PathID.worker(of: one.backwardID) == 1)
        if case .forward = one.table.find(link: 1, pathID: one.forwardID) {} else { Issue.record("forward") }
        if case .backward = one.table.find(link: 2, pathID: one.backwardID) {} else { Issue.record("backward") }
        // On the other link, or with another worker's byte, an id is unknown.
        #expect(one.table.find(link: 2, pathID: one.forwardID) == .unknown)
        #expect(one.table.find(link: 1, pathID: one.backwardID) == .unknown)
        #expect(one.table.find(link: 1, pathID: one.forwardID ^ 3 << 56) == .unknown)
        #expect(one.table.handle(link: 1, pathID: one.forwardID) == one.path)
        #expect(one.table.handle(link: 2, pathID: one.backwardID) == one.path)
    }

    @Test func placesOfHalvesAndPathsAreIndependent() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 200)
        var paths: [PathHandle] = []
        for number in 0..<200 {
            let secret = Secret.random()
            paths.append(
                try table.insert(
                    HopKeys(secret: secret, slot: 1, suite: .chacha20poly1305),
                    previous: PathNeighbour(link: UInt32(number), pathID: 5), nextLink: 1_000, linkLimit: 1,
                    now: at(0)))
        }
        // Half of the paths are removed; the others are still found.
        for path in paths where path.index % 2 == 0 { #expect(table.remove(path) != nil) }
        #expect(table.count == 100)
        for path in paths where path.index % 2 == 0 { #expect(table.remove(path) == nil) }
        for path in paths where path.index % 2 == 1 {
            let id = table.forwardID(of: path)!
            #expect(table.handle(link: path.index, pathID: id) == path)
            #expect(table.handle(link: 1_000, pathID: table.backwardID(of: path)!) == path)
        }
        #expect(table.removeAll(link: 1_000).count == 100)
        #expect(table.count == 0 && table.paths.isEmpty)
    }
}
