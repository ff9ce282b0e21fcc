public import EventLoop

/// Sends one request to a control socket.
public enum ControlClient {
    /// Sends `command` to the socket at `path` and calls back with the reply, once, on the loop and never inside this
    /// call.
    ///
    /// It gives up after `timeout` nanoseconds.
    public static func ask<Report: Decodable>(
        _ command: ControlCommand, argument: String? = nil, at path: String, on loop: Loop, as type: Report.Type,
        timeout: UInt64 = 5_000_000_000, completion: @escaping (Result<Report, ControlError>) -> Void
    ) {
        Exchange(on: loop, timeout: timeout) { result in
            completion(
                result.flatMap { line in
                    if let report = ControlLine.decode(type, from: line) { return .success(report) }
                    let refusal = ControlLine.decode(ControlRefusal.self, from: line)
                    guard let refusal else { return .failure(.malformedReply) }
                    return .failure(refusal.denied == true ? .denied(refusal.error) : .refused(refusal.error))
                })
        }.begin(ControlLine.encode(ControlRequest(command: command.rawValue, argument: argument)), at: path)
    }
}

/// One request and its reply; its timer retains it until it calls back.
private final class Exchange: ByteStreamDelegate {
    private let loop: Loop
    private var completion: ((Result<[UInt8], ControlError>) -> Void)?
    private var stream: ByteStream?
    private var timer: LoopTimer?
    private var buffer = LineBuffer(limit: ControlSocket.longestReply)
    private var request: [UInt8] = []
    /// The error before there was a connection, reported in the next turn.
    private var failure = ControlError.timedOut
    private let timeout: UInt64

    init(on loop: Loop, timeout: UInt64, completion: @escaping (Result<[UInt8], ControlError>) -> Void) {
        self.loop = loop
        self.timeout = timeout
        self.completion = completion
    }

    func begin(_ request: [UInt8], at path: String) {
        self.request = request
        // The timer's callback retains the exchange; `finish` ends that.
        let timer = LoopTimer(on: loop) { self.finish(.failure(self.failure)) }
        self.timer = timer
        var deadline = loop.now + timeout
        let length = path.utf8.count
        if length > ControlSocket.longestPath {
            (failure, deadline) = (.pathTooLong(length), loop.now)
        } else {
            do throws(UVError) {
                stream = try ByteStream.connect(on: loop, toUnixPath: path, delegate: self)
            } catch {
                (failure, deadline) = (.unreachable(error), loop.now)
            }
        }
        timer.schedule(at: deadline)
    }

    private func finish(_ result: Result<[UInt8], ControlError>) {
        guard let completion else { return }
        self.completion = nil
        timer?.close()
        stream?.close()
        completion(result)
    }

    func streamConnected(_ stream: ByteStream) {
        stream.startReading()
        do throws(UVError) {
            try stream.write(request)
        } catch {
            finish(.failure(.unreachable(error)))
        }
    }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        buffer.append(bytes)
        if let line = buffer.next() {
            finish(.success(line))
        } else if buffer.isOverlong {
            finish(.failure(.malformedReply))
        }
    }

    func streamReachedEnd(_ stream: ByteStream) { finish(.failure(.closed)) }

    func stream(_ stream: ByteStream, failed error: UVError) { finish(.failure(.unreachable(error))) }
}
