/// The events of a stream; only ``stream(_:received:)``, ``streamReachedEnd(_:)`` and ``stream(_:failed:)`` have no
/// default.
public protocol ByteStreamDelegate: AnyObject {
    /// The connection that ``ByteStream/connect(on:to:from:delegate:)`` began is established.
    func streamConnected(_ stream: ByteStream)
    /// The most bytes that the next read may bring; called before each read, 0 stops reading, and there is no limit by
    /// default.
    func streamReadLimit(_ stream: ByteStream) -> Int
    /// Bytes arrived; they are valid during the call.
    func stream(_ stream: ByteStream, received bytes: RawSpan)
    /// The peer will send no more; the stream can still be written to, and stays open until ``ByteStream/close()``.
    func streamReachedEnd(_ stream: ByteStream)
    /// The kernel has taken all bytes that ``ByteStream/write(_:)`` had to queue.
    func streamDrained(_ stream: ByteStream)
    /// The kernel has taken all bytes, and the end that ``ByteStream/shutdown()`` asked for.
    func streamFinishedWriting(_ stream: ByteStream)
    /// The stream broke; it is closed when this returns.
    func stream(_ stream: ByteStream, failed error: UVError)
}

extension ByteStreamDelegate {
    /// No limit.
    public func streamReadLimit(_ stream: ByteStream) -> Int { .max }
    /// Does nothing.
    public func streamConnected(_ stream: ByteStream) {}
    /// Does nothing.
    public func streamDrained(_ stream: ByteStream) {}
    /// Does nothing.
    public func streamFinishedWriting(_ stream: ByteStream) {}
}
