public import EventLoop

/// How to get to a far end.
public struct Route: Sendable {
    /// The SOCKS5 proxy; nil connects straight.
    public var proxy: SocketAddress?
    /// Where the far end is; nil where each measurement has one of its own on this machine.
    public var target: Target?

    /// A route through `proxy` to `target`.
    public init(proxy: SocketAddress?, target: Target?) {
        self.proxy = proxy
        self.target = target
    }
}

/// Who is told what happens to a stream.
protocol LoadStreamOwner: AnyObject {
    /// The far end has answered the request.
    func opened(_ stream: LoadStream)
    /// The byte that was sent last came back.
    func echoed(_ stream: LoadStream)
    /// It is over: its tally says why, and nothing when all went well.
    func ended(_ stream: LoadStream)
}

extension LoadStreamOwner {
    func opened(_ stream: LoadStream) {}
    func echoed(_ stream: LoadStream) {}
}

/// The near end of one stream: what an application would be.
final class LoadStream: ByteStreamDelegate {
    private enum Phase { case opening, open, ended }

    let number: UInt32
    let operation: Request.Operation
    /// What has arrived, at the near end or, of an upload, at the far one.
    let tally: Tally
    /// When it was begun.
    let began: UInt64

    private weak var owner: (any LoadStreamOwner)?
    private var phase = Phase.opening
    private var opening: Opening
    private var socket: ByteStream?
    private var sender: PatternSender?
    private var check: PatternCheck
    private var place: Int
    private var reports: [UInt8] = []
    private var hasFetched = false

    /// Begins to open it; the owner looks whether it has ended already, for it hears only of what comes later.
    init(
        _ operation: Request.Operation, number: UInt32, on loop: Loop, along route: Route, to target: Target,
        userName: String?, tally: Tally, owner: any LoadStreamOwner
    ) {
        self.operation = operation
        self.number = number
        self.tally = tally
        self.owner = owner
        began = loop.now
        let request = Request(operation, stream: number)
        opening = Opening(to: route.proxy == nil ? nil : target, userName: userName, request: request)
        check = PatternCheck(stream: number)
        place = Pattern.firstPlace(ofStream: number)
        guard let address = route.proxy ?? target.address else {
            phase = .ended
            tally.fault = Fault(.refused, "\(target) is no numeric address")
            return
        }
        do throws(UVError) {
            socket = try ByteStream.connect(on: loop, to: address, delegate: self)
        } catch {
            phase = .ended
            tally.fault = Fault(.refused, error.description)
        }
    }

    var isOpening: Bool { phase == .opening }
    var isEnded: Bool { phase == .ended }

    /// Sends one byte that is to come back.
    func ping() {
        let byte = Pattern.byte(at: place)
        send([byte])
    }

    /// Ends it, with or without a fault; nobody is told when it had ended before.
    func end(_ fault: Fault?) {
        guard phase != .ended else { return }
        phase = .ended
        if let fault { tally.fault = tally.fault ?? fault }
        sender?.stop()
        if operation == .fetch { socket?.close() } else { socket?.reset() }
        owner?.ended(self)
    }

    // MARK: - Events

    func streamConnected(_ stream: ByteStream) {
        stream.startReading()
        send(opening.firstBytes)
    }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        var offset = 0
        while phase == .opening, offset < bytes.byteCount {
            let end = min(offset + opening.missing, bytes.byteCount)
            let piece = unsafe bytes.withUnsafeBytes { unsafe Array($0[offset..<end]) }
            offset = end
            follow(opening.take(piece))
        }
        guard phase == .open, offset < bytes.byteCount else { return }
        carry(bytes.extracting(droppingFirst: offset))
    }

    func streamReachedEnd(_ stream: ByteStream) {
        switch (phase, operation) {
        case (.open, .fetch): end(nil)
        case (.opening, _): end(Fault(.closed, "closed during the handshake"))
        default: end(Fault(.closed, "closed while carrying"))
        }
    }

    func streamDrained(_ stream: ByteStream) { pump() }

    func stream(_ stream: ByteStream, failed error: UVError) {
        end(Fault(error.call == "connect" ? .refused : .closed, error.description))
    }

    // MARK: - Carrying

    private func follow(_ step: Opening.Step) {
        switch step {
        case .wait: break
        case .send(let bytes): send(bytes)
        case .failed(let fault): end(fault)
        case .open:
            phase = .open
            if operation == .upload || operation == .reportedUpload, let socket {
                sender = PatternSender(into: socket, number: number) { [unowned self] in pump() }
                pump()
            }
            owner?.opened(self)
        }
    }

    private func carry(_ bytes: RawSpan) {
        switch operation {
        case .download:
            if !check.take(bytes, into: tally) { end(nil) }
        case .upload: end(Fault(.corrupt, "bytes that nobody sent"))
        case .reportedUpload: takeReports(bytes)
        case .ping: takeEcho(bytes)
        case .fetch: end(Fault(.corrupt, "bytes after the end"))
        }
    }

    private func takeEcho(_ bytes: RawSpan) {
        guard bytes.byteCount == 1, Pattern.matches(bytes, at: place) else {
            return end(Fault(.corrupt, "another byte came back"))
        }
        place = Pattern.place(place, advancedBy: 1)
        tally.bytes += 1
        owner?.echoed(self)
    }

    private func takeReports(_ bytes: RawSpan) {
        reports += unsafe bytes.withUnsafeBytes { unsafe Array($0) }
        while reports.count >= 8 {
            let value = reports[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            reports.removeFirst(8)
            guard value >= tally.bytes, value != .max else {
                return end(Fault(.corrupt, "bytes differ at the far end"))
            }
            tally.bytes = value
        }
    }

    private func pump() {
        do throws(UVError) {
            try sender?.pump()
        } catch {
            end(Fault(.closed, error.description))
        }
    }

    private func send(_ bytes: [UInt8]) {
        do throws(UVError) {
            try socket?.write(bytes)
        } catch {
            end(Fault(.closed, error.description))
        }
    }
}
