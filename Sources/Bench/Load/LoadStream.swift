public import EventLoop

/// The way to a far end.
public struct Route: Sendable {
    /// The SOCKS5 proxy; nil connects directly.
    public var proxy: SocketAddress?
    /// The address of the far end; nil if each measurement has its own on this machine.
    public var target: ProxyTarget?

    /// A route through `proxy` to `target`.
    public init(proxy: SocketAddress?, target: ProxyTarget?) {
        self.proxy = proxy
        self.target = target
    }
}

/// Receives the events of a stream.
protocol LoadStreamOwner: AnyObject {
    /// The far end has answered the request.
    func opened(_ stream: LoadStream)
    /// The last byte that was sent came back.
    func echoed(_ stream: LoadStream)
    /// The stream has ended.
    ///
    /// Its tally has the fault, or none if all went well.
    func ended(_ stream: LoadStream)
}

extension LoadStreamOwner {
    func opened(_ stream: LoadStream) {}
    func echoed(_ stream: LoadStream) {}
}

/// The near end of one stream, in the place of an application.
final class LoadStream: ByteStreamDelegate {
    private enum Phase { case opening, open, ended }

    let number: UInt32
    let operation: Request.Operation
    /// Counts the bytes that arrived: at the near end, or at the far end for an upload.
    let tally: Tally
    /// The time at which the stream was begun, on the loop's clock.
    let began: UInt64

    private weak var owner: (any LoadStreamOwner)?
    private var phase = Phase.opening
    private var opening: Opening
    private var socket: ByteStream?
    private var sender: PatternSender?
    private var check: PatternCheck
    private var place: Int
    private var reports: [UInt8] = []

    /// Begins to open the stream.
    ///
    /// The owner is not called for a stream that has already ended when this returns: it checks ``isEnded``.
    init(
        _ operation: Request.Operation, number: UInt32, on loop: Loop, along route: Route, to target: ProxyTarget,
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
            tally.fault = LoadFault(.refused, "\(target) is not a numeric address")
            return
        }
        do throws(UVError) {
            socket = try ByteStream.connect(on: loop, to: address, delegate: self)
        } catch {
            phase = .ended
            tally.fault = LoadFault(.refused, error.description)
        }
    }

    var isOpening: Bool { phase == .opening }
    var isEnded: Bool { phase == .ended }

    /// Sends one byte, which the far end sends back.
    func ping() {
        let byte = Pattern.byte(at: place)
        send([byte])
    }

    /// Ends the stream, with or without a fault.
    ///
    /// Does nothing if it has ended before.
    func end(_ fault: LoadFault?) {
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
        case (.opening, _): end(LoadFault(.closed, "closed during the handshake"))
        default: end(LoadFault(.closed, "closed while carrying"))
        }
    }

    func streamDrained(_ stream: ByteStream) { pump() }

    func stream(_ stream: ByteStream, failed error: UVError) {
        end(LoadFault(error.call == "connect" ? .refused : .closed, error.description))
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
        case .upload: end(LoadFault(.corrupt, "bytes that nobody sent"))
        case .reportedUpload: takeReports(bytes)
        case .ping: takeEcho(bytes)
        case .fetch: end(LoadFault(.corrupt, "bytes after the end"))
        }
    }

    private func takeEcho(_ bytes: RawSpan) {
        guard bytes.byteCount == 1, Pattern.matches(bytes, at: place) else {
            return end(LoadFault(.corrupt, "another byte came back"))
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
                return end(LoadFault(.corrupt, "bytes differ at the far end"))
            }
            tally.bytes = value
        }
    }

    private func pump() {
        do throws(UVError) {
            try sender?.pump()
        } catch {
            end(LoadFault(.closed, error.description))
        }
    }

    private func send(_ bytes: [UInt8]) {
        do throws(UVError) {
            try socket?.write(bytes)
        } catch {
            end(LoadFault(.closed, error.description))
        }
    }
}
