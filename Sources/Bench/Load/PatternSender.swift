internal import EventLoop

/// Sends the pattern into a stream as fast as the stream accepts it, from the pattern's own memory.
final class PatternSender {
    /// The number of bytes that are copied into the stream's queue, so that the stream tells when the kernel accepts
    /// more.
    private static let bait = 4096
    /// The number of chunks after which other streams have their turn.
    private static let burst = 8

    private let stream: ByteStream
    private var place: Int
    private var timer: LoopTimer?

    /// Begins at the first place of stream `number`.
    ///
    /// `resume` must call ``pump()``.
    init(into stream: ByteStream, number: UInt32, resume: @escaping () -> Void) {
        self.stream = stream
        place = Pattern.firstPlace(ofStream: number)
        timer = LoopTimer(on: stream.loop, callback: resume)
    }

    /// Sends as much as the kernel accepts.
    ///
    /// Must be called at the beginning and each time the stream has drained.
    func pump() throws(UVError) {
        guard stream.queuedBytes == 0 else { return }
        for _ in 0..<Self.burst {
            let taken = try Pattern.withChunk(at: place) { chunk throws(UVError) in try stream.tryWrite(chunk) }
            place = Pattern.place(place, advancedBy: taken)
            if taken < Pattern.longestChunk {
                try Pattern.withChunk(at: place, count: Self.bait) { chunk throws(UVError) in try stream.write(chunk) }
                place = Pattern.place(place, advancedBy: Self.bait)
                if stream.queuedBytes > 0 { return }
            }
        }
        timer?.schedule(at: stream.loop.now)
    }

    func stop() {
        timer?.close()
        timer = nil
    }
}
