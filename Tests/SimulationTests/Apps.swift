import EventLoop
import Wire

/// A transfer between an app and the server.
struct Transfer {
    enum Kind: UInt8 { case download = 1, echo }
    var kind: Kind
    var seed: UInt64
    var length: Int
    /// The number of bytes that are echoed at a time, and the nanoseconds between two such pieces.
    var piece = 1_000, pause: UInt64 = 0
    /// Whether the app sends the first bytes with its request, before the proxy has answered.
    var isEarly = true

    /// The first 17 bytes of the stream.
    var head: [UInt8] {
        [kind.rawValue]
            + [seed, UInt64(length)].flatMap { number in
                (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
            }
    }
    static let headSize = 17

    /// The bytes that transfers repeat, from a place that the seed selects; their number is prime.
    private static let block: [UInt8] = {
        var random = SimulatedRandom(seed: 7)
        return (0..<65_521).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }()

    /// The bytes of a range of the transfer of `seed`.
    static func bytes(_ range: Range<Int>, seed: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        var place = (range.lowerBound + Int(seed % UInt64(block.count))) % block.count
        while bytes.count < range.count {
            bytes += block[place..<min(place + range.count - bytes.count, block.count)]
            place = 0
        }
        return bytes
    }

    /// Whether `bytes` are the bytes of the transfer from `start` on.
    static func isRight(_ bytes: RawSpan, from start: Int, seed: UInt64) -> Bool {
        let right = Self.bytes(start..<start + bytes.byteCount, seed: seed)
        return [UInt8](copying: bytes) == right
    }
}

/// A server on the Internet that sends and echoes bytes.
final class Server {
    let host: SimulatedHost
    let loop: Loop
    let address: SocketAddress
    private var listener: StreamListener?
    private var served: [Served] = []
    var openCount: Int { served.count }

    init(on host: SimulatedHost, port: UInt16) throws {
        self.host = host
        loop = Loop(simulated: host)
        address = host.addresses[0].with(port: port)
        listener = try StreamListener.tcp(on: loop, address: .anyIPv4(port: port)) { [unowned self] stream in
            let one = Served(stream)
            one.onEnd = { [unowned self, unowned one] in served.removeAll { $0 === one } }
            served.append(one)
        }
    }

    func close() { loop.close() }

    /// One connection.
    private final class Served: ByteStreamDelegate {
        private let stream: ByteStream
        private var head: [UInt8] = []
        private var transfer: Transfer?
        private var place = 0
        var onEnd: () -> Void = {}

        init(_ stream: ByteStream) {
            self.stream = stream
            stream.delegate = self
            stream.startReading()
        }

        func stream(_ stream: ByteStream, received bytes: RawSpan) {
            var bytes = [UInt8](copying: bytes)
            if transfer == nil {
                let rest = Transfer.headSize - head.count
                head += bytes.prefix(rest)
                bytes.removeFirst(min(rest, bytes.count))
                guard head.count == Transfer.headSize, let kind = Transfer.Kind(rawValue: head[0]) else { return }
                let numbers = [head[1..<9], head[9..<17]].map { $0.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
                transfer = Transfer(kind: kind, seed: numbers[0], length: Int(numbers[1]))
                if kind == .download { give() }
            }
            if transfer?.kind == .echo, !bytes.isEmpty {
                place += bytes.count
                try? stream.write(bytes)
                endIfDone()
            }
        }

        private func give() {
            guard let transfer, transfer.kind == .download else { return }
            while place < transfer.length, stream.queuedBytes == 0, !stream.isClosed {
                let end = min(place + 16_384, transfer.length)
                guard (try? stream.write(Transfer.bytes(place..<end, seed: transfer.seed))) != nil else {
                    return end_()
                }
                place = end
            }
            endIfDone()
        }

        private func endIfDone() { if place == transfer?.length { stream.shutdown() } }
        func streamDrained(_ stream: ByteStream) { give() }
        func streamReachedEnd(_ stream: ByteStream) {
            if place == transfer?.length, stream.queuedBytes > 0 { return }
            end_()
        }
        func streamFinishedWriting(_ stream: ByteStream) {}
        func stream(_ stream: ByteStream, failed error: UVError) { end_() }
        private func end_() {
            stream.close()
            onEnd()
            onEnd = {}
        }
    }
}

/// A program that uses a client's SOCKS5 port, and checks each byte.
final class App: ByteStreamDelegate {
    enum Target { case address(SocketAddress), name(String) }
    enum State: Equatable {
        /// It has sent its request.
        case opening
        /// It sends and receives bytes.
        case moving
        /// It has received all its bytes.
        case done
        /// Its request was refused with this SOCKS5 code.
        case refused(UInt8)
        /// Its stream ended early.
        case broken
        /// It has closed the stream itself.
        case closed
    }

    let plan: Transfer
    let began: Double
    private(set) var state = State.opening
    private(set) var received = 0
    private(set) var lastProgress: Double
    private var greeting: [UInt8] = []
    private var sent = 0
    private unowned let network: Network
    private var stream: ByteStream?
    private var timer: LoopTimer?
    private let loop: Loop

    init(
        _ plan: Transfer, through proxy: SocketAddress, to target: Target, isolation: Int, on loop: Loop,
        in network: Network
    ) throws {
        self.plan = plan
        self.network = network
        self.loop = loop
        (began, lastProgress) = (network.time, network.time)
        let stream = try ByteStream.connect(on: loop, to: proxy, delegate: self)
        self.stream = stream
        let user = Array("u\(isolation)".utf8)
        var request: [UInt8] = [5, 1, 2, 1, UInt8(user.count)] + user + [1, 0x70]
        var port: UInt16 = 80
        switch target {
        case .address(let address):
            let ip = address.ipv4 ?? 0
            request += [5, 1, 0, 1] + (0..<4).map { UInt8(truncatingIfNeeded: ip >> (24 - 8 * UInt32($0))) }
            port = address.port
        case .name(let name): request += [5, 1, 0, 3, UInt8(name.utf8.count)] + Array(name.utf8)
        }
        request += [UInt8(port >> 8), UInt8(port & 255)]
        try stream.write(request + (plan.isEarly ? plan.head : []))
        timer = LoopTimer(on: loop) { [weak self] in self?.say() }
    }

    /// Whether it still needs an answer or bytes.
    var isWaiting: Bool { state == .opening || state == .moving }
    var isOver: Bool { !isWaiting }
    /// Whether the app itself pauses.
    var isPausing: Bool { plan.kind == .echo && timer?.deadline != nil }

    func close() {
        if isWaiting { state = .closed }
        timer?.close()
        stream?.close()
        stream = nil
    }

    /// The number of bytes before the transfer: two answers and the SOCKS5 reply.
    private static let greetingSize = 2 + 2 + 10

    func streamConnected(_ stream: ByteStream) { stream.startReading() }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        lastProgress = network.time
        var start = 0
        while greeting.count < Self.greetingSize, start < bytes.byteCount {
            greeting.append(unsafe bytes.unsafeLoad(fromByteOffset: start, as: UInt8.self))
            start += 1
            if greeting.count == 6, greeting[5] != 0 {
                state = .refused(greeting[5])
                return close()
            }
            if greeting.count == Self.greetingSize {
                state = .moving
                if !plan.isEarly { try? stream.write(plan.head) }
                if plan.kind == .echo { say() }
            }
        }
        guard start < bytes.byteCount else { return }
        let rest = bytes.extracting(droppingFirst: start)
        if !Transfer.isRight(rest, from: received, seed: plan.seed) {
            network.violation("a wrong byte behind \(received) of a transfer")
        }
        received += rest.byteCount
        if received > plan.length { network.violation("\(received - plan.length) bytes too many") }
        if received >= plan.length {
            state = .done
            close()
        } else if plan.kind == .echo, received == sent {
            if plan.pause > 0 { timer?.schedule(at: loop.now + plan.pause) } else { say() }
        }
    }

    private func say() {
        guard state == .moving, let stream, sent < plan.length else { return }
        lastProgress = network.time
        let end = min(sent + plan.piece, plan.length)
        try? stream.write(Transfer.bytes(sent..<end, seed: plan.seed))
        sent = end
    }

    func streamReachedEnd(_ stream: ByteStream) {
        if isWaiting { state = .broken }
        close()
    }

    func stream(_ stream: ByteStream, failed error: UVError) {
        if isWaiting { state = .broken }
        close()
    }
}
