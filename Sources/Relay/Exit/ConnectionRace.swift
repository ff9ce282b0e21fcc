internal import EventLoop
internal import Wire

/// Connects to one of several addresses (RFC 8305, section 5).
///
/// The next address is tried when the attempt before it has failed or has been silent for a while. The first connection
/// wins.
final class ConnectionRace: ByteStreamDelegate {
    /// The time after which a silent attempt is joined by the next one.
    static let headStart = TimeSpan.milliseconds(500)
    /// The most addresses that are tried.
    ///
    /// Those without a route do not count.
    static let limit = 4

    private let loop: Loop
    /// Addresses that have not been tried.
    ///
    /// The next one is last.
    private var candidates: [SocketAddress]
    private let completion: (Result<ByteStream, UVError>) -> Void
    private var attempts = 0
    private var running: [ByteStream] = []
    private var timer: LoopTimer?
    private var isOver = false

    /// A race to `addresses`, at least one, alternating between the two families.
    ///
    /// `completion` is called once, unless the race is cancelled before. It gets the connection or the error of the
    /// attempt that failed last. If there is no route to any address, it is called inside ``start()``.
    init(
        on loop: Loop, to addresses: [SocketAddress],
        completion: @escaping (Result<ByteStream, UVError>) -> Void
    ) {
        precondition(!addresses.isEmpty, "a race needs an address")
        self.loop = loop
        self.completion = completion
        candidates = Self.interleaved(addresses).reversed()
    }

    /// The addresses, alternating between the families, beginning with that of the first one.
    static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
        let first = addresses.filter { $0.isIPv4 == addresses[0].isIPv4 }
        let second = addresses.filter { $0.isIPv4 != addresses[0].isIPv4 }
        return (0..<addresses.count).flatMap { place in
            [first, second].compactMap { place < $0.count ? $0[place] : nil }
        }
    }

    /// Tries the first address.
    func start() {
        timer = LoopTimer(on: loop) { [weak self] in self?.tryNext(after: nil) }
        tryNext(after: nil)
    }

    /// Ends all attempts.
    ///
    /// `completion` is not called.
    func cancel() {
        isOver = true
        timer?.close()
        timer = nil
        for stream in running { stream.close() }
        running = []
        candidates = []
    }

    /// Tries the next address that has a route.
    ///
    /// If there is none, the race ends once no attempt is left.
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
