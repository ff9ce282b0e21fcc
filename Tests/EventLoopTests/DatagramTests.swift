import Testing

@testable import EventLoop

/// Keeps all packets, and can send them back or forward them.
private final class Recorder: DatagramReceiver {
    var packets: [[UInt8]] = []
    var sources: Set<SocketAddress> = []
    /// Called for each packet; by default nothing is done.
    var handle: ((inout ReceivedBatch, Int, DatagramSocket) -> Void)?

    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        for index in 0..<batch.count {
            let packet = batch.packet(index)
            packets.append(array(packet.bytes))
            sources.insert(batch.source(of: index))
            handle?(&batch, index, socket)
        }
    }
}

/// The offloads that the two ends of a test use.
struct Offload: CustomStringConvertible {
    let sender: Bool
    let receiver: Bool
    var description: String { "sender \(sender), receiver \(receiver)" }

    static let all = [true, false].flatMap { sender in [true, false].map { Offload(sender: sender, receiver: $0) } }
}

private func configuration(offload: Bool) -> DatagramSocket.Configuration {
    var configuration = DatagramSocket.Configuration()
    configuration.usesOffload = offload
    return configuration
}

private func send(_ bytes: [UInt8], on socket: DatagramSocket, to address: SocketAddress) {
    guard var slot = socket.sendSlot(size: bytes.count) else {
        Issue.record("no send slot")
        return
    }
    var memory = slot.bytes
    for (index, byte) in bytes.enumerated() { memory.storeBytes(of: byte, toByteOffset: index, as: UInt8.self) }
    slot.commit(to: address)
}

private func hasSlot(_ socket: DatagramSocket, size: Int) -> Bool {
    if socket.sendSlot(size: size) != nil { true } else { false }
}

private func drop(_ slot: consuming SendSlot?) {}

@Suite struct DatagramTests {
    @Test(arguments: Offload.all, [SocketAddress.loopbackIPv4(port: 0), SocketAddress.loopbackIPv6(port: 0)])
    func burstsArriveCompleteInOrderAndUnchanged(_ offload: Offload, _ address: SocketAddress) throws {
        let loop = try Loop()
        defer { loop.close() }
        let recorder = Recorder()
        let receiver = try DatagramSocket(
            on: loop, bindTo: address, configuration: configuration(offload: offload.receiver), receiver: recorder)
        let sender = try DatagramSocket(
            on: loop, bindTo: address, configuration: configuration(offload: offload.sender), receiver: nil)
        let sent = (0..<400).map { pattern(1392, seed: UInt64($0)) }
        for packet in sent { send(packet, on: sender, to: receiver.localAddress) }
        run(loop) { recorder.packets.count >= sent.count }
        #expect(recorder.packets == sent)
        #expect(recorder.sources == [sender.localAddress])
        #expect(sender.counters.packetsSent == 400)
        #expect(sender.counters.bytesSent == 400 * 1392)
        #expect(receiver.counters.packetsReceived == 400)
        if sender.isSegmenting { #expect(sender.counters.messagesSent < 20) }
    }

    @Test func packetsAreForwardedFromWhereTheyWereReceived() throws {
        let loop = try Loop()
        defer { loop.close() }
        let last = Recorder()
        let end = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: last)
        let relay = Recorder()
        let outgoing = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        let middle = try DatagramSocket(on: loop, bindTo: .loopbackIPv6(port: 0), receiver: relay)
        relay.handle = { batch, index, _ in
            var packet = batch.packet(index)
            packet.storeBytes(of: 0xee, toByteOffset: 4, as: UInt8.self)
            // Forwards on another socket of the loop, without the first four bytes.
            batch.forward(index, from: 4, to: end.localAddress, on: outgoing)
        }
        let first = try DatagramSocket(on: loop, bindTo: .loopbackIPv6(port: 0), receiver: nil)
        let sent = (0..<300).map { pattern(1392, seed: UInt64($0)) }
        for packet in sent { send(packet, on: first, to: middle.localAddress) }
        run(loop) { last.packets.count >= sent.count }
        #expect(last.packets == sent.map { [0xee] + $0[5...] })
        #expect(outgoing.counters.packetsSent == 300)
    }

    @Test func packetsToSeveralDestinationsKeepTheirOrderAtEach() throws {
        let loop = try Loop()
        defer { loop.close() }
        let recorders = (0..<5).map { _ in Recorder() }
        let receivers = try recorders.map {
            try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: $0)
        }
        let sender = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        // The length changes between packets, also to 0 and back.
        let lengths = [1200, 1200, 1200, 700, 1200, 1300, 1300, 0, 1300, 1, 2, 3]
        var sent: [[[UInt8]]] = Array(repeating: [], count: 5)
        for index in 0..<480 {
            let to = (index * 7 + index / 11) % 5
            let packet = pattern(lengths[index % lengths.count], seed: UInt64(index))
            sent[to].append(packet)
            send(packet, on: sender, to: receivers[to].localAddress)
        }
        run(loop) { recorders.map(\.packets.count).reduce(0, +) >= 480 }
        for index in 0..<5 { #expect(recorders[index].packets == sent[index]) }
    }

    @Test func moreThanTheQueueHoldsIsFlushedInBetween() throws {
        let loop = try Loop()
        defer { loop.close() }
        let recorder = Recorder()
        let receiver = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: recorder)
        var small = DatagramSocket.Configuration.small
        small.sendSlotCount = 8
        let sender = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), configuration: small, receiver: nil)
        let sent = (0..<200).map { pattern(100, seed: UInt64($0)) }
        for packet in sent { send(packet, on: sender, to: receiver.localAddress) }
        run(loop) { recorder.packets.count >= sent.count }
        #expect(recorder.packets == sent)
        #expect(sender.counters.droppedWithoutSlot == 0)
        #expect(!hasSlot(sender, size: 100_000))
    }

    @Test("A socket whose buffer is full keeps what is in send slots, and makes no system call until it is writable")
    func fullBuffers() throws {
        let world = SimulatedWorld(seed: 1)
        let own = SocketAddress(ipv4: 0x0a00_0001, port: 0)
        let host = world.addHost(at: [own])
        let loop = Loop(simulated: host)
        var small = DatagramSocket.Configuration.small
        small.sendSlotCount = 3
        let recorder = Recorder()
        let receiver = try DatagramSocket(on: loop, bindTo: own, receiver: recorder)
        let sender = try DatagramSocket(on: loop, bindTo: own, configuration: small, receiver: nil)
        host.isSendBlocked = true
        for number in 0..<3 { send([UInt8(number)], on: sender, to: receiver.localAddress) }
        world.run(for: 1_000_000)
        #expect(sender.isBlocked)
        let calls = sender.counters.sendCalls
        for _ in 0..<100 { #expect(!hasSlot(sender, size: 1)) }
        #expect(sender.counters.sendCalls == calls)
        host.isSendBlocked = false
        world.run(for: 1_000_000)
        #expect(recorder.packets == [[0], [1], [2]] && !sender.isBlocked)
        send([3], on: sender, to: receiver.localAddress)
        world.run(for: 1_000_000)
        #expect(recorder.packets.count == 4)
        loop.close()
    }

    @Test(arguments: [true, false])
    func roomForManyPacketsIsFilledInOrderAmongOthers(_ offload: Bool) throws {
        let loop = try Loop()
        defer { loop.close() }
        let recorder = Recorder()
        let receiver = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: recorder)
        var few = configuration(offload: offload)
        few.groupCapacity = 4
        few.sendSlotCount = 3
        let sender = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), configuration: few, receiver: nil)
        // More packets than four groups hold. Packets of send slots stand at the start, between groups and at the end.
        // The last of them is shorter.
        let sent = (0..<400).map { pattern($0 == 399 ? 500 : 1_000, seed: UInt64($0)) }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: sent.count * 1_000, alignment: 64)
        defer { unsafe memory.deallocate() }
        for (index, packet) in sent.enumerated() {
            unsafe (memory + index * 1_000).copyMemory(from: packet, byteCount: packet.count)
        }
        var next = 0
        for end in [10, 300, 399] {
            send(sent[next], on: sender, to: receiver.localAddress)
            next += 1
            while next < end {
                let room = unsafe sender.reserve(end - next, length: 1_000, to: receiver.localAddress)
                #expect(1...min(64, end - next) ~= room.count)
                for place in 0..<room.count {
                    unsafe room.put(memory + next * 1_000, at: place)
                    next += 1
                }
            }
        }
        send(sent[399], on: sender, to: receiver.localAddress)
        run(loop) { recorder.packets.count >= sent.count }
        #expect(recorder.packets == sent)
        #expect(sender.counters.bytesSent == 399 * 1_000 + 500)
        // All three send slots are free again.
        let one = sender.sendSlot(size: 1)
        let two = sender.sendSlot(size: 1)
        let three = sender.sendSlot(size: 1)
        #expect(!hasSlot(sender, size: 1))
        drop(one)
        drop(two)
        drop(three)
        #expect(hasSlot(sender, size: 1))
    }

    @Test("R9: a socket of all addresses answers from the one that it was asked at", arguments: Offload.all)
    func answersWhereAsked(_ offload: Offload) throws {
        let loop = try Loop()
        defer { loop.close() }
        let relay = Recorder()
        var options = configuration(offload: offload.receiver)
        options.answersWhereAsked = true
        let server = try DatagramSocket(on: loop, bindTo: .anyIPv4(port: 0), configuration: options, receiver: relay)
        relay.handle = { batch, index, socket in batch.forward(index, to: batch.source(of: index), on: socket) }
        let recorder = Recorder()
        let client = try DatagramSocket(
            on: loop, bindTo: .loopbackIPv4(port: 0), configuration: configuration(offload: offload.sender),
            receiver: recorder)
        let port = server.localAddress.port
        for host in [UInt32(0x7f00_0002), 0x7f00_0003, 0x7f00_0002, 0x7f00_0001] {
            recorder.sources = []
            recorder.packets = []
            let asked = SocketAddress(ipv4: host, port: port)
            let sent = (0..<40).map { pattern(1_200, seed: UInt64($0)) }
            for packet in sent { send(packet, on: client, to: asked) }
            run(loop) { recorder.packets.count >= sent.count }
            #expect(recorder.packets == sent)
            #expect(recorder.sources == [asked])
        }
    }

    @Test("R9: an IPv6 socket of all addresses answers from where it was asked") func answersWhereAskedIPv6() throws {
        let loop = try Loop()
        defer { loop.close() }
        let relay = Recorder()
        var options = DatagramSocket.Configuration()
        options.answersWhereAsked = true
        let server = try DatagramSocket(on: loop, bindTo: .anyIPv6(port: 0), configuration: options, receiver: relay)
        relay.handle = { batch, index, socket in batch.forward(index, to: batch.source(of: index), on: socket) }
        let recorder = Recorder()
        let client = try DatagramSocket(on: loop, bindTo: .loopbackIPv6(port: 0), receiver: recorder)
        let asked = SocketAddress.loopbackIPv6(port: server.localAddress.port)
        let sent = (0..<40).map { pattern(1_200, seed: UInt64($0)) }
        for packet in sent { send(packet, on: client, to: asked) }
        run(loop) { recorder.packets.count >= sent.count }
        #expect(recorder.packets == sent && recorder.sources == [asked])
    }

    @Test func thereIsNoRoomForWhatCannotBeSent() throws {
        let loop = try Loop()
        defer { loop.close() }
        let sender = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        #expect(unsafe sender.reserve(7, length: 70_000, to: .loopbackIPv4(port: 9)).count == 0)
        #expect(sender.counters.droppedOversize == 1 && sender.counters.drops == ["tooLongForPath": 1])
        sender.close()
        #expect(unsafe sender.reserve(7, length: 1_000, to: .loopbackIPv4(port: 9)).count == 0)
    }

    @Test func aDroppedSlotGoesBackToThePool() throws {
        let loop = try Loop()
        defer { loop.close() }
        var configuration = DatagramSocket.Configuration()
        configuration.sendSlotCount = 1
        let socket = try DatagramSocket(
            on: loop, bindTo: .loopbackIPv4(port: 0), configuration: configuration, receiver: nil)
        for _ in 0..<3 { #expect(hasSlot(socket, size: 10)) }
        let held = socket.sendSlot(size: 10)
        #expect(!hasSlot(socket, size: 10))
        #expect(socket.counters.droppedWithoutSlot == 1)
        drop(held)
        #expect(hasSlot(socket, size: 10))
    }

    @Test func whatCannotBeSentIsCountedAndTheRestGoesOn() throws {
        let loop = try Loop()
        defer { loop.close() }
        let recorder = Recorder()
        let receiver = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: recorder)
        let sender = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        let packet = pattern(500, seed: 1)
        // Sending to port 0 and to an address of the other family fails.
        for index in 0..<4 {
            send(packet, on: sender, to: .loopbackIPv4(port: 0))
            send(packet, on: sender, to: SocketAddress(high: 0x2001_0db8_0000_0000, low: UInt64(index), port: 9))
            send(packet, on: sender, to: receiver.localAddress)
        }
        run(loop) { recorder.packets.count >= 4 }
        #expect(recorder.packets == Array(repeating: packet, count: 4))
        #expect(sender.counters.droppedUnreachable == 8)
        #expect(sender.counters.packetsSent == 4)
    }

    @Test func packetsQueuedInTheTurnEndHookLeaveInThatTurn() throws {
        let loop = try Loop()
        defer { loop.close() }
        let recorder = Recorder()
        let receiver = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: recorder)
        let sender = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        var isSent = false
        loop.atTurnEnd = {
            if !isSent { send([1, 2, 3], on: sender, to: receiver.localAddress) }
            isSent = true
        }
        run(loop) { !recorder.packets.isEmpty }
        #expect(recorder.packets == [[1, 2, 3]])
    }

    @Test func aSocketMayBeClosedFromItsOwnCallback() throws {
        let loop = try Loop()
        defer { loop.close() }
        let recorder = Recorder()
        let receiver = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: recorder)
        let address = receiver.localAddress
        recorder.handle = { batch, index, socket in
            socket.close()
            batch.forward(index, to: address, on: socket)
        }
        let sender = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        send([1], on: sender, to: address)
        run(loop) { receiver.isClosed }
        #expect(receiver.isClosed)
        #expect(receiver.counters.packetsSent == 0)
    }

    @Test func closingSendsWhatIsQueuedAndLeavesNothingBehind() throws {
        let loop = try Loop()
        defer { loop.close() }
        let recorder = Recorder()
        let receiver = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: recorder)
        // The socket is opened, used, closed and released in one callback, before the turn's end.
        let mailbox = try Mailbox<Int>(on: loop) { number in
            let opened = try? DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
            guard let sender = opened else { return }
            send([UInt8(number)], on: sender, to: receiver.localAddress)
            sender.close()
        }
        for number in 0..<3 { mailbox.sender.send(number) }
        run(loop) { recorder.packets.count == 3 }
        #expect(recorder.packets == [[0], [1], [2]])
    }

    @Test func aPortIsTakenOnce() throws {
        let loop = try Loop()
        defer { loop.close() }
        let first = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        let error = #expect(throws: UVError.self) {
            _ = try DatagramSocket(on: loop, bindTo: first.localAddress, receiver: nil)
        }
        #expect(error?.kind == .addressInUse)
    }
}
