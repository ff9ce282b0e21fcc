/// What a datagram socket has done since it was opened.
public struct DatagramCounters: Sendable, Equatable {
    /// Packets received, after runs were cut into packets.
    public var packetsReceived: UInt64 = 0
    /// Bytes received.
    public var bytesReceived: UInt64 = 0
    /// System calls to receive.
    public var receiveCalls: UInt64 = 0
    /// Runs received: one is a datagram, or several that the kernel put together.
    public var runsReceived: UInt64 = 0
    /// Packets that the kernel took to send.
    public var packetsSent: UInt64 = 0
    /// Bytes that the kernel took to send.
    public var bytesSent: UInt64 = 0
    /// System calls to send.
    public var sendCalls: UInt64 = 0
    /// Messages sent: one is a packet, or a group that the kernel cuts into packets.
    public var messagesSent: UInt64 = 0
    /// Received runs dropped because they were cut off, from an unknown address family, or in too many pieces.
    public var droppedMalformed: UInt64 = 0
    /// Packets dropped because the socket could not take them, and their memory could not wait.
    public var droppedBlocked: UInt64 = 0
    /// Packets not made because no send slot was free.
    public var droppedWithoutSlot: UInt64 = 0
    /// Packets dropped as too long for the path or the protocol, or queued on a closed socket.
    public var droppedOversize: UInt64 = 0
    /// Packets dropped because of any other error of sending: no route, refused, not permitted.
    public var droppedUnreachable: UInt64 = 0

    /// The drops by what status and metrics call them.
    public var drops: [(name: String, count: UInt64)] {
        [
            ("socketMalformed", droppedMalformed), ("socketFull", droppedBlocked), ("noSendSlot", droppedWithoutSlot),
            ("tooLongForPath", droppedOversize), ("notSent", droppedUnreachable),
        ]
    }
    /// Errors of receiving that were ignored.
    public var receiveErrors: UInt64 = 0

    /// All zero.
    public init() {}
}
