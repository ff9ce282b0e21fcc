internal import EventLoop

/// Sends the pattern into a stream as fast as it takes it, from the pattern's own memory.
final class PatternSender {
    /// The bytes that are queued, and so copied, to hear when the kernel takes more.
    private static let bait = 4096
    /// After how many chunks in a row other streams have their turn.
    private static let burst = 8

    private let stream: ByteStream
    private var place: Int
    private var timer: LoopTimer?

    /// A sender from the beginning of the stream with this number; `resume` is to call ``pump()`` again.
    init(into stream: ByteStream, number: UInt32, resume: @escaping () -> Void) {
        self.stream = stream
        place = Pattern.firstPlace(ofStream: number)
        timer = LoopTimer(on: stream.loop, callback: resume)
    }

    /// Sends what the kernel takes; to be called at the beginning, and whenever the stream has drained.
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

    /// Sends no more.
    func stop() {
        timer?.close()
        timer = nil
    }
}
