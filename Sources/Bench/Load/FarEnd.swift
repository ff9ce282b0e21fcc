public import EventLoop

/// The source and sink behind the exit.
///
/// The first eight bytes of each stream are a request, which it performs.
public final class FarEnd {
    /// The number of streams served at once.
    ///
    /// Further ones are reset.
    static let limit = 8_192
    /// The shortest time between two reports of a reported upload, in nanoseconds.
    static let reportInterval: UInt64 = 100_000_000

    private let loop: Loop
    private var listener: StreamListener?
    private var streams: [ObjectIdentifier: ServedStream] = [:]
    private var expected: [UInt32: Tally] = [:]
    /// The number of streams whose first bytes were not a request.
    public private(set) var badRequests = 0

    /// Listens at `address`.
    ///
    /// For port 0 the system chooses the port.
    public init(on loop: Loop, at address: SocketAddress) throws(UVError) {
        self.loop = loop
        listener = try StreamListener.tcp(on: loop, address: address, backlog: 4_096) { [unowned self] in accept($0) }
    }

    /// The address it listens at; nil after ``close()``.
    public var address: SocketAddress? { listener?.localAddress }

    /// The number of open streams.
    public var streamCount: Int { streams.count }

    /// Returns the tally in which the upload `number` will be counted, until ``forget(_:)``.
    func expect(_ number: UInt32) -> Tally {
        let tally = Tally()
        expected[number] = tally
        return tally
    }

    /// Undoes ``expect(_:)``.
    func forget(_ number: UInt32) { expected[number] = nil }

    /// Closes the listener and resets all streams.
    public func close() {
        listener?.close()
        listener = nil
        for stream in streams.values { stream.close() }
        streams = [:]
    }

    private func accept(_ socket: ByteStream) {
        guard streams.count < Self.limit else { return socket.reset() }
        let stream = ServedStream(socket, farEnd: self)
        streams[ObjectIdentifier(stream)] = stream
        stream.start()
    }

    /// The tally from ``expect(_:)``, or a new one if nobody expects this upload.
    fileprivate func tally(of number: UInt32) -> Tally { expected[number] ?? Tally() }

    fileprivate func ended(_ stream: ServedStream) { streams[ObjectIdentifier(stream)] = nil }

    fileprivate func receivedNoRequest() { badRequests += 1 }
}

private final class ServedStream: ByteStreamDelegate {
    private let socket: ByteStream
    private unowned let farEnd: FarEnd
    private var firstBytes: [UInt8] = []
    private var operation: Request.Operation?
    private var sender: PatternSender?
    private var check = PatternCheck(stream: 0)
    private var tally = Tally()
    private var nextReport: UInt64 = 0

    init(_ socket: ByteStream, farEnd: FarEnd) {
        self.socket = socket
        self.farEnd = farEnd
    }

    func start() {
        socket.delegate = self
        socket.startReading()
    }

    func close() {
        sender?.stop()
        sender = nil
        socket.reset()
    }

    private func end() {
        close()
        farEnd.ended(self)
    }

    private func end(_ fault: LoadFault) {
        tally.fault = tally.fault ?? fault
        end()
    }

    // MARK: - Events

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        guard operation == nil else { return carry(bytes) }
        let count = min(Request.size - firstBytes.count, bytes.byteCount)
        firstBytes += unsafe bytes.withUnsafeBytes { unsafe Array($0[..<count]) }
        guard firstBytes.count == Request.size else { return }
        guard let request = Request(firstBytes) else {
            farEnd.receivedNoRequest()
            return end()
        }
        begin(request)
        if !socket.isClosed, count < bytes.byteCount { carry(bytes.extracting(droppingFirst: count)) }
    }

    func streamReachedEnd(_ stream: ByteStream) { end(LoadFault(.closed, "closed while carrying")) }

    func stream(_ stream: ByteStream, failed error: UVError) { end(LoadFault(.closed, error.description)) }

    func streamDrained(_ stream: ByteStream) { pump() }

    // MARK: - Operations

    private func begin(_ request: Request) {
        operation = request.operation
        guard send(request.answer) else { return }
        switch request.operation {
        case .download:
            sender = PatternSender(into: socket, number: request.stream) { [unowned self] in pump() }
            pump()
        case .upload, .reportedUpload:
            check = PatternCheck(stream: request.stream)
            tally = farEnd.tally(of: request.stream)
        case .ping: break
        case .fetch: socket.shutdown()
        }
    }

    private func pump() {
        do throws(UVError) {
            try sender?.pump()
        } catch {
            end()
        }
    }

    private func carry(_ bytes: RawSpan) {
        switch operation {
        case .upload:
            if !check.take(bytes, into: tally) { end() }
        case .reportedUpload:
            guard tally.fault == nil else { return }
            let isRight = check.take(bytes, into: tally)
            report(isRight: isRight)
            // Bytes that still arrive are read and dropped. If the connection closed now, the report could be lost.
            if !isRight { socket.shutdown() }
        case .ping:
            // A peer that does not read its echoes would make the queue grow without bound.
            guard socket.queuedBytes < 65_536 else { return end() }
            do throws(UVError) {
                try socket.write(bytes)
            } catch {
                end()
            }
        case .download, .fetch, nil: break
        }
    }

    private func report(isRight: Bool) {
        let now = socket.loop.now
        guard now >= nextReport && socket.queuedBytes == 0 || !isRight else { return }
        nextReport = now + FarEnd.reportInterval
        _ = send(bigEndianBytes(of: isRight ? tally.bytes : .max))
    }

    private func send(_ bytes: [UInt8]) -> Bool {
        do throws(UVError) {
            try socket.write(bytes)
            return true
        } catch {
            end()
            return false
        }
    }
}
