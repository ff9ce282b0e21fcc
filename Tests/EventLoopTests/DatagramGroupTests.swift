import Glibc
import Testing

@testable import EventLoop

/// Keeps the packets of one worker's socket.
private final class Inbox: DatagramReceiver {
    var packets: [[UInt8]] = []
    var sources: [SocketAddress] = []

    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        for index in 0..<batch.count {
            sources.append(batch.source(of: index))
            let packet = batch.packet(index)
            packets.append(array(packet.bytes))
        }
    }
}

/// A group whose sockets are all on one loop, and a socket that sends to it.
private struct Net {
    let group: DatagramGroup
    let sockets: [DatagramSocket]
    let inboxes: [Inbox]
    let sender: DatagramSocket
    let loop: Loop

    init(_ loop: Loop, workers: Int, at address: SocketAddress = .loopbackIPv4(port: 0)) throws {
        self.loop = loop
        group = try DatagramGroup(of: workers, bindTo: address)
        inboxes = (0..<group.count).map { _ in Inbox() }
        var sockets: [DatagramSocket] = []
        for (worker, inbox) in inboxes.enumerated() {
            sockets.append(try DatagramSocket(on: loop, worker: worker, of: group, receiver: inbox))
        }
        self.sockets = sockets
        sender = try DatagramSocket(on: loop, bindTo: address, receiver: nil)
    }

    /// Sends one datagram at once.
    func send(_ bytes: [UInt8]) {
        guard var slot = sender.sendSlot(size: bytes.count) else {
            Issue.record("no send slot")
            return
        }
        var memory = slot.bytes
        for (index, byte) in bytes.enumerated() { memory.storeBytes(of: byte, toByteOffset: index, as: UInt8.self) }
        slot.commit(to: group.address)
        sender.flush()
    }

    /// Runs until the sockets have received `count` datagrams in total.
    func receive(_ count: Int) {
        run(loop) { inboxes.reduce(0) { $0 + $1.packets.count } >= count }
    }
}

/// A datagram that begins with `index`.
private func datagram(_ index: UInt32, size: Int = 64) -> [UInt8] {
    let head = (0..<4).map { UInt8(truncatingIfNeeded: index >> (8 * UInt32($0))) }
    return head + [UInt8](repeating: 7, count: size - 4)
}

@Suite struct DatagramGroupTests {
    @Test(arguments: [2, 3, 16], [SocketAddress.loopbackIPv4(port: 0), SocketAddress.loopbackIPv6(port: 0)])
    func eachIndexReachesItsWorker(_ workers: Int, _ address: SocketAddress) throws {
        let loop = try Loop()
        defer { loop.close() }
        let net = try Net(loop, workers: workers, at: address)
        #expect(net.group.count == workers)
        #expect(net.sockets.allSatisfy { $0.localAddress == net.group.address })
        var sent: [[[UInt8]]] = Array(repeating: [], count: workers)
        // The high byte of the index alone selects the worker.
        for round in UInt32(0)..<8 {
            for worker in 0..<workers {
                let bytes = datagram(UInt32(worker) << 24 | round << 8 | 0xff)
                sent[worker].append(bytes)
                net.send(bytes)
            }
        }
        net.receive(8 * workers)
        #expect(net.inboxes.map(\.packets) == sent)
    }

    @Test func messagesOfHandshakesAndForeignBytesReachWorker0() throws {
        let loop = try Loop()
        defer { loop.close() }
        let net = try Net(loop, workers: 3)
        let handshakes = (UInt32(0)...4).map { datagram($0, size: 1392) } + [datagram(255)]
        let foreign = [UInt32(3), 4, 127, 128, 255].map { datagram($0 << 24 | 0x1234) }
        let short: [[UInt8]] = [[], [1], [2, 2, 2]]
        for bytes in handshakes + foreign + short { net.send(bytes) }
        net.receive(handshakes.count + foreign.count + short.count)
        #expect(net.inboxes[0].packets == handshakes + foreign + short)
        #expect(net.inboxes[1].packets.isEmpty && net.inboxes[2].packets.isEmpty)
    }

    @Test func aRunIsWholeAtTheWorkerOfItsFirstPacket() throws {
        let loop = try Loop()
        defer { loop.close() }
        let net = try Net(loop, workers: 2)
        let packets = [datagram(1 << 24, size: 1392), datagram(0x99, size: 1392), datagram(1 << 24 | 1, size: 1392)]
        for bytes in packets {
            guard var slot = net.sender.sendSlot(size: bytes.count) else { throw CancellationError() }
            var memory = slot.bytes
            for (place, byte) in bytes.enumerated() { memory.storeBytes(of: byte, toByteOffset: place, as: UInt8.self) }
            slot.commit(to: net.group.address)
        }
        net.sender.flush()
        net.receive(3)
        if net.sender.isSegmenting && net.sockets[1].isCoalescing {
            #expect(net.inboxes[1].packets == packets)
        } else {
            #expect(net.inboxes[1].packets == [packets[0], packets[2]])
        }
    }

    @Test func aPortInUseIsRefusedAndALaterSocketGetsNothing() throws {
        let loop = try Loop()
        defer { loop.close() }
        let net = try Net(loop, workers: 2)
        let again = #expect(throws: UVError.self) { _ = try DatagramGroup(of: 2, bindTo: net.group.address) }
        #expect(again?.kind == .addressInUse)
        let alone = #expect(throws: UVError.self) {
            _ = try DatagramSocket(on: loop, bindTo: net.group.address, receiver: nil)
        }
        #expect(alone?.kind == .addressInUse)
        // Another socket of the same user that shares the port gets no packet.
        let late = try KernelSocket(bindTo: net.group.address, DatagramSocket.Configuration(), sharesPort: true)
        defer { late.close() }
        for byte in UInt32(0)...255 { net.send(datagram(byte << 24 | byte)) }
        net.receive(256)
        #expect(net.inboxes[0].packets.count == 255 && net.inboxes[1].packets.count == 1)
    }

    @Test func aGroupThatTheKernelCannotSteerHasOneSocket() throws {
        let loop = try Loop()
        defer { loop.close() }
        let group = try DatagramGroup(
            of: 4, bindTo: .loopbackIPv4(port: 0), configuration: DatagramSocket.Configuration(),
            steer: { _, _ in -EPERM })
        #expect(group.count == 1)
        let inbox = Inbox()
        let socket = try DatagramSocket(on: loop, worker: 0, of: group, receiver: inbox)
        let sender = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        for worker in UInt32(0)..<4 {
            guard var slot = sender.sendSlot(size: 64) else { throw CancellationError() }
            var memory = slot.bytes
            memory.storeBytes(of: worker << 24, toByteOffset: 0, as: UInt32.self)
            slot.commit(to: socket.localAddress)
        }
        sender.flush()
        run(loop) { inbox.packets.count == 4 }
        #expect(inbox.packets.count == 4)
        // With a second socket on the port, the kernel would spread the packets over both by hash.
        let late = #expect(throws: UVError.self) {
            let socket = try KernelSocket(bindTo: group.address, DatagramSocket.Configuration(), sharesPort: true)
            socket.close()
        }
        #expect(late?.kind == .addressInUse)
    }

    @Test func socketsThatNobodyTookAreClosedWithTheGroup() throws {
        var group: DatagramGroup? = try DatagramGroup(of: 3, bindTo: .loopbackIPv4(port: 0))
        let address = try #require(group?.address)
        group = nil
        // The port is free again.
        let next = try DatagramGroup(of: 1, bindTo: address)
        #expect(next.count == 1 && next.address == address)
    }

    @Test("R9: a worker answers from the own address at which another worker was asked") func ownAddresses() throws {
        let loop = try Loop()
        defer { loop.close() }
        var options = DatagramSocket.Configuration()
        options.answersWhereAsked = true
        let group = try DatagramGroup(of: 2, bindTo: .anyIPv4(port: 0), configuration: options)
        let inboxes = (0..<group.count).map { _ in Inbox() }
        let sockets = try inboxes.enumerated().map { worker, inbox in
            try DatagramSocket(on: loop, worker: worker, of: group, receiver: inbox)
        }
        try #require(sockets.count == 2)
        let answers = Inbox()
        let client = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: answers)
        // Each worker is asked at other addresses, and not in the same order.
        let asked = [(UInt32(1), UInt32(3)), (0, 2), (1, 4), (1, 2)].map { worker, host in
            (worker, SocketAddress(ipv4: 0x7f00_0000 + host, port: group.address.port))
        }
        var sources: [SocketAddress] = []
        for (worker, address) in asked {
            let inbox = inboxes[Int(worker)]
            let before = inbox.sources.count
            unsafe client.send(datagram(worker << 24 | 0xff).span.bytes, to: address)
            run(loop) { inbox.sources.count > before }
            sources.append(try #require(inbox.sources.last))
        }
        for socket in sockets {
            answers.sources = []
            for (number, source) in sources.enumerated() {
                unsafe socket.send(datagram(0).span.bytes, to: source)
                run(loop) { answers.sources.count == number + 1 }
            }
            #expect(answers.sources == asked.map(\.1))
        }
    }
}
