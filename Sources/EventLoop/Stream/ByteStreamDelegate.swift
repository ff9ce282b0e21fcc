/// What a stream tells its owner; only ``stream(_:received:)``, ``streamReachedEnd(_:)`` and ``stream(_:failed:)`` must be there.
public protocol ByteStreamDelegate: AnyObject {
    /// The connection that ``ByteStream/connect(on:to:from:delegate:)`` asked for is there.
    func streamConnected(_ stream: ByteStream)
    /// How many bytes one read may bring now, asked before each; 0 stops the reading, and any number unless said otherwise.
    func streamReadLimit(_ stream: ByteStream) -> Int
    /// Bytes arrived; they are valid during the call.
    func stream(_ stream: ByteStream, received bytes: RawSpan)
    /// The peer will send no more; the stream can still be written to, and stays open until ``ByteStream/close()``.
    func streamReachedEnd(_ stream: ByteStream)
    /// All bytes that ``ByteStream/write(_:)`` had to queue have been handed to the kernel.
    func streamDrained(_ stream: ByteStream)
    /// All bytes and the end that ``ByteStream/shutdown()`` asked for have been handed to the kernel.
    func streamFinishedWriting(_ stream: ByteStream)
    /// The stream broke; it is closed when this returns.
    func stream(_ stream: ByteStream, failed error: UVError)
}

extension ByteStreamDelegate {
    /// As many as there are.
    public func streamReadLimit(_ stream: ByteStream) -> Int { .max }
    /// Does nothing.
    public func streamConnected(_ stream: ByteStream) {}
    /// Does nothing.
    public func streamDrained(_ stream: ByteStream) {}
    /// Does nothing.
    public func streamFinishedWriting(_ stream: ByteStream) {}
}
