import EventLoop
import Glibc
import Testing

/// Records a stream's events, and can react to them.
private final class Peer: ByteStreamDelegate {
    var received: [UInt8] = []
    var hasEnded = false
    var isConnected = false
    var hasFinished = false
    var drainCount = 0
    var error: UVError?
    var onReceive: ((ByteStream, RawSpan) -> Void)?
    var onDrain: ((ByteStream) -> Void)?
    var onEnd: ((ByteStream) -> Void)?

    func streamConnected(_ stream: ByteStream) {
        isConnected = true
        stream.startReading()
    }
    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { unsafe received.append(contentsOf: $0) }
        onReceive?(stream, bytes)
    }
    func streamReachedEnd(_ stream: ByteStream) {
        hasEnded = true
        onEnd?(stream)
    }
    func streamDrained(_ stream: ByteStream) {
        drainCount += 1
        onDrain?(stream)
    }
    func streamFinishedWriting(_ stream: ByteStream) { hasFinished = true }
    func stream(_ stream: ByteStream, failed error: UVError) { self.error = error }
}

/// A connected pair of streams, with their peers.
private final class Pair {
    let loop: Loop
    let (near, far) = (Peer(), Peer())
    let client: ByteStream
    private(set) var server: ByteStream?
    private var listener: StreamListener?

    init(_ loop: Loop) throws {
        self.loop = loop
        var accepted: ByteStream?
        let far = far
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { stream in
            stream.delegate = far
            stream.startReading()
            accepted = stream
        }
        self.listener = listener
        client = try ByteStream.connect(on: loop, to: try #require(listener.localAddress), delegate: near)
        run(loop) { [near] in accepted != nil && near.isConnected }
        server = accepted
    }
}

@Suite struct StreamTests {
    @Test func tenMegabytesComeBackThroughAnEchoThatStopsReading() throws {
        let loop = try Loop()
        defer { loop.close() }
        let pair = try Pair(loop)
        let data = pattern(10 << 20, seed: 7)
        let server = try #require(pair.server)
        var mostQueued = 0
        pair.far.onReceive = { stream, bytes in
            try? stream.write(bytes)
            mostQueued = max(mostQueued, stream.queuedBytes)
            if stream.queuedBytes > 0 { stream.stopReading() }
        }
        pair.far.onDrain = { $0.startReading() }
        pair.far.onEnd = { $0.shutdown() }
        var sent = 0
        func pump(_ stream: ByteStream) {
            while sent < data.count && stream.queuedBytes == 0 {
                let end = min(sent + 100_000, data.count)
                try? stream.write(Array(data[sent..<end]))
                sent = end
            }
            if sent == data.count { stream.shutdown() }
        }
        pair.near.onDrain = pump
        pump(pair.client)
        run(loop) { pair.near.hasEnded }
        #expect(pair.near.received == data)
        // At most one read is queued, because the echo held the sender back.
        #expect(mostQueued <= 128 << 10)
        #expect(pair.near.error == nil && pair.far.error == nil)
        #expect(!server.isClosed && !pair.client.isClosed)
    }

    @Test func aHalfClosedStreamStillReceives() throws {
        let loop = try Loop()
        defer { loop.close() }
        let pair = try Pair(loop)
        let server = try #require(pair.server)
        try pair.client.write([1, 2, 3])
        pair.client.shutdown()
        run(loop) { pair.far.hasEnded && pair.near.hasFinished }
        #expect(pair.far.received == [1, 2, 3])
        #expect(throws: UVError.self) { try pair.client.write([4]) }
        try server.write([5, 6])
        run(loop) { pair.near.received.count == 2 }
        #expect(pair.near.received == [5, 6] && !pair.near.hasEnded)
        server.shutdown()
        run(loop) { pair.near.hasEnded }
        #expect(!server.isClosed && !pair.client.isClosed)
    }

    @Test func theOtherEndCanHalfCloseToo() throws {
        let loop = try Loop()
        defer { loop.close() }
        let pair = try Pair(loop)
        let server = try #require(pair.server)
        server.shutdown()
        run(loop) { pair.near.hasEnded }
        try pair.client.write([9])
        run(loop) { pair.far.received == [9] }
        #expect(pair.far.received == [9] && !pair.far.hasEnded)
    }

    @Test(arguments: [false, true]) func aResetReachesThePeer(afterShutdown: Bool) throws {
        let loop = try Loop()
        defer { loop.close() }
        let pair = try Pair(loop)
        if afterShutdown {
            pair.client.shutdown()
            run(loop) { pair.far.hasEnded }
            // Reading has ended, so the next write meets the reset.
            pair.client.reset()
            let server = try #require(pair.server)
            var error: UVError?
            var isDone = false
            loop.addAtTurnEnd {
                guard !isDone else { return }
                do throws(UVError) { try server.write([1]) } catch let failure { error = error ?? failure }
                loop.wake()
            }
            run(loop) { error != nil || pair.far.error != nil }
            #expect(error?.kind == .connectionReset || pair.far.error?.kind == .connectionReset)
            isDone = true
        } else {
            pair.client.reset()
            run(loop) { pair.far.error != nil }
            #expect(pair.far.error?.kind == .connectionReset)
            #expect(pair.server?.isClosed == true)
        }
        #expect(pair.client.isClosed && pair.near.error == nil)
    }

    @Test func aRefusedConnectionIsReportedLater() throws {
        let loop = try Loop()
        defer { loop.close() }
        // This port was just closed.
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { _ in }
        let address = try #require(listener.localAddress)
        listener.close()
        loop.runOnce()
        let peer = Peer()
        let stream = try ByteStream.connect(on: loop, to: address, delegate: peer)
        #expect(peer.error == nil)
        run(loop) { peer.error != nil }
        #expect(peer.error?.kind == .connectionRefused)
        #expect(stream.isClosed)
    }

    @Test func writesBeforeTheConnectionAreQueued() throws {
        let loop = try Loop()
        defer { loop.close() }
        let far = Peer()
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv6(port: 0)) { stream in
            stream.delegate = far
            stream.startReading()
        }
        let stream = try ByteStream.connect(on: loop, to: try #require(listener.localAddress), delegate: nil)
        try stream.write([1, 2])
        try stream.write([3])
        stream.shutdown()
        run(loop) { far.hasEnded }
        #expect(far.received == [1, 2, 3])
    }

    @Test func aPausedListenerAcceptsLater() throws {
        let loop = try Loop()
        defer { loop.close() }
        var count = 0
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { _ in count += 1 }
        listener.pause()
        let peers = [Peer(), Peer(), Peer()]
        for peer in peers {
            _ = try ByteStream.connect(on: loop, to: try #require(listener.localAddress), delegate: peer)
        }
        run(loop) { peers.allSatisfy(\.isConnected) }
        #expect(count == 0)
        listener.resume()
        run(loop) { count == 3 }
        #expect(count == 3)
    }

    @Test func thePeerOfAUnixSocketIsKnown() throws {
        let loop = try Loop()
        defer { loop.close() }
        let path = "/tmp/eventloop-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).sock"
        var accepted: ByteStream?
        let listener = try StreamListener.unix(on: loop, path: path, group: getegid()) { accepted = $0 }
        let peer = Peer()
        let stream = try ByteStream.connect(on: loop, toUnixPath: path, delegate: peer)
        run(loop) { accepted != nil }
        let far = try #require(accepted)
        #expect(far.peerUser == geteuid())
        #expect(far.isPeer(inGroup: getegid()) && !far.isPeer(inGroup: 4_000_000_000))
        far.close()
        #expect(far.peerUser == nil && !far.isPeer(inGroup: getegid()))
        stream.close()
        listener.close()
    }

    @Test("L2, L3: a unix socket is private and replaces only a stale one")
    func aUnixSocketIsPrivateAndReplacesOnlyAStaleOne() throws {
        let loop = try Loop()
        defer { loop.close() }
        let path = "/tmp/eventloop-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).sock"
        let far = Peer()
        let open = {
            try StreamListener.unix(on: loop, path: path) { stream in
                stream.delegate = far
                stream.startReading()
            }
        }
        let listener = try open()
        var status = stat()
        #expect(unsafe stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        let peer = Peer()
        let stream = try ByteStream.connect(on: loop, toUnixPath: path, delegate: peer)
        try stream.write([1, 2, 3])
        run(loop) { far.received.count == 3 }
        #expect(far.received == [1, 2, 3])
        #expect(throws: UVError(code: -EADDRINUSE, call: "bind")) { _ = try open() }
        // A hard link keeps the name after the listener closes, as after a crash.
        let stale = path + "2"
        #expect(unsafe link(path, stale) == 0)
        listener.close()
        #expect(unsafe stat(path, &status) != 0)
        #expect(unsafe rename(stale, path) == 0)
        loop.runOnce()
        let second = try open()
        second.close()
        #expect(unsafe stat(path, &status) != 0)
        // A file that is not a socket is not replaced.
        let file = unsafe creat(path, 0o600)
        #expect(throws: UVError(code: -EADDRINUSE, call: "bind")) { _ = try open() }
        close(file)
        unsafe unlink(path)
        #expect(throws: UVError.self) {
            _ = try ByteStream.connect(on: loop, toUnixPath: String(repeating: "x", count: 108), delegate: nil)
        }
    }

    @Test("R15: on both sides the kernel asks whether an idle connection's other end is there, and sends bytes at once")
    func keepAlive() throws {
        let loop = try Loop()
        defer { loop.close() }
        var accepted: ByteStream?
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { accepted = $0 }
        let address = try #require(listener.localAddress)
        let stream = try ByteStream.connect(on: loop, to: address, delegate: nil)
        run(loop) { accepted != nil && stream.isOpen }
        stream.keepAlive()
        // The descriptors of this process that are ends of this connection.
        var ends = 0
        for descriptor in Int32(0)..<1_024 {
            var name = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isNamed = unsafe withUnsafeMutablePointer(to: &name) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe getpeername(descriptor, $0, &length) == 0
                }
            }
            let ports = [address.port, try #require(stream.localAddress).port].map(\.bigEndian)
            guard isNamed, name.sin_family == sa_family_t(AF_INET), ports.contains(name.sin_port) else { continue }
            ends += 1
            var value = Int32(0)
            var size = socklen_t(MemoryLayout<Int32>.size)
            #expect(unsafe getsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &value, &size) == 0 && value == 1)
            #expect(unsafe getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, &value, &size) == 0 && value == 120)
            #expect(unsafe getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &value, &size) == 0 && value == 1)
        }
        #expect(ends == 2)
        stream.close()
        accepted?.close()
        listener.close()
    }
}
