import Testing

@testable import EventLoop

@Suite struct PacketLaneTests {
    /// The packets that were handed on and not delivered yet.
    private final class Road {
        var copies: [PacketCopies] = []
        var isOpen = true
    }

    private static let size = 100

    private static func source(_ number: Int) -> SocketAddress {
        SocketAddress(ipv4: 0x0a00_0001, port: UInt16(truncatingIfNeeded: number))
    }

    private static func add(_ number: Int, to lane: PacketLane) -> Bool {
        let packet = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size)
        return unsafe lane.add(packet.span.bytes, from: source(number))
    }

    private static func lane(_ road: Road) -> PacketLane {
        PacketLane(packetSize: size) { copies in
            guard road.isOpen else { return false }
            road.copies.append(copies)
            return true
        }
    }

    @Test func packetsArriveAsTheyWere() throws {
        let loop = try Loop()
        defer { loop.close() }
        let road = Road()
        let lane = Self.lane(road)
        // A full one goes by itself, the rest with the flush.
        for number in 0..<PacketCopies.capacity + 3 { #expect(Self.add(number, to: lane)) }
        #expect(road.copies.count == 1)
        lane.flush()
        lane.flush()
        #expect(road.copies.count == 2)
        var next = 0
        for copies in road.copies {
            copies.deliver(on: loop) { batch in
                for index in 0..<batch.count {
                    #expect(batch.end(ofRunFrom: index) == index + 1)
                    #expect(batch.source(of: index) == Self.source(next))
                    let packet = batch.packet(index)
                    let (size, last) = unsafe (
                        packet.byteCount, packet.bytes.unsafeLoad(fromByteOffset: 99, as: UInt8.self)
                    )
                    #expect(size == Self.size && last == UInt8(next))
                    next += 1
                }
            }
        }
        #expect(next == PacketCopies.capacity + 3)
    }

    @Test func aBoundedNumberIsUnderWay() throws {
        let loop = try Loop()
        defer { loop.close() }
        let (flooded, other) = (Road(), Road())
        let lane = Self.lane(flooded)
        for number in 0..<PacketLane.capacity { #expect(Self.add(number, to: lane)) }
        for number in 0..<100 { #expect(!Self.add(number, to: lane)) }
        #expect(flooded.copies.count * PacketCopies.capacity == PacketLane.capacity)
        // Another source has its own.
        #expect(Self.add(1, to: Self.lane(other)))
        // What was received makes room for as much again, in the same memory.
        let first = flooded.copies.removeFirst()
        first.deliver(on: loop) { #expect($0.count == PacketCopies.capacity) }
        for number in 0..<PacketCopies.capacity { #expect(Self.add(number, to: lane)) }
        #expect(!Self.add(0, to: lane))
        #expect(flooded.copies.last === first)
    }

    @Test func aClosedLoopTakesNothingAndKeepsNothing() {
        let road = Road()
        road.isOpen = false
        let lane = Self.lane(road)
        for number in 0..<3 * PacketLane.capacity { #expect(Self.add(number, to: lane)) }
        #expect(road.copies.isEmpty)
    }
}
