internal import EventLoop
internal import Wire

/// Connects to one of several addresses: each next one is tried when the one before has failed, or has been silent for a while,
/// and the first connection wins (RFC 8305, section 5).
final class ConnectionRace: ByteStreamDelegate {
    /// How long an attempt stays alone.
    static let headStart = TimeSpan.milliseconds(500)
    /// How many addresses are tried; those to which there is no route do not count.
    static let limit = 4

    private let loop: Loop
    /// Addresses not tried yet, the next one last.
    private var candidates: [SocketAddress]
    private let completion: (Result<ByteStream, UVError>) -> Void
    private var attempts = 0
    private var running: [ByteStream] = []
    private var timer: LoopTimer?
    private var isOver = false

    /// A race to `addresses`, at least one, of which those of the two families take turns.
    ///
    /// `completion` is called once unless the race is cancelled before, with the error of the last attempt that failed: inside of
    /// ``start()`` where there is a route to none.
    init(
        on loop: Loop, to addresses: [SocketAddress],
        completion: @escaping (Result<ByteStream, UVError>) -> Void
    ) {
        precondition(!addresses.isEmpty, "a race needs an address")
        self.loop = loop
        self.completion = completion
        candidates = Self.interleaved(addresses).reversed()
    }

    /// The addresses in turns of one of each family, that of the first one first.
    static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
        let first = addresses.filter { $0.isIPv4 == addresses[0].isIPv4 }
        let second = addresses.filter { $0.isIPv4 != addresses[0].isIPv4 }
        return (0..<addresses.count).flatMap { place in
            [first, second].compactMap { place < $0.count ? $0[place] : nil }
        }
    }

    /// Begins.
    func start() {
        timer = LoopTimer(on: loop) { [weak self] in self?.tryNext(after: nil) }
        tryNext(after: nil)
    }

    /// Gives all attempts up; `completion` is not called.
    func cancel() {
        isOver = true
        timer?.close()
        timer = nil
        for stream in running { stream.close() }
        running = []
        candidates = []
    }

    /// Tries the next address to which there is a route; without one the race ends when no attempt is left.
    private func tryNext(after failure: UVError?) {
        var failure = failure
        while attempts < Self.limit, let address = candidates.popLast() {
            do throws(UVError) {
                running.append(try ByteStream.connect(on: loop, to: address, delegate: self))
                attempts += 1
                timer?.schedule(at: (Instant(nanoseconds: loop.now) + Self.headStart).nanoseconds)
                return
            } catch {
                failure = error
            }
        }
        guard running.isEmpty, let failure else { return }
        cancel()
        completion(.failure(failure))
    }

    func streamConnected(_ stream: ByteStream) {
        guard !isOver else { return stream.close() }
        running.removeAll { $0 === stream }
        cancel()
        completion(.success(stream))
    }

    func stream(_ stream: ByteStream, failed error: UVError) {
        guard !isOver else { return }
        running.removeAll { $0 === stream }
        tryNext(after: error)
    }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {}
    func streamReachedEnd(_ stream: ByteStream) {}
}
