/// Counts of a datagram socket since it was opened.
public struct DatagramCounters: Sendable, Equatable {
    /// Packets received, counted after runs are split into packets.
    public var packetsReceived: UInt64 = 0
    /// Bytes received, without IP and UDP headers.
    public var bytesReceived: UInt64 = 0
    /// System calls for receiving.
    public var receiveCalls: UInt64 = 0
    /// Runs received: one run is a datagram, or several that the kernel coalesced (UDP_GRO).
    public var runsReceived: UInt64 = 0
    /// Packets that the kernel accepted for sending.
    public var packetsSent: UInt64 = 0
    /// Bytes that the kernel accepted for sending.
    public var bytesSent: UInt64 = 0
    /// System calls for sending.
    public var sendCalls: UInt64 = 0
    /// Messages sent: one message is a packet, or a group that the kernel splits into packets (UDP_SEGMENT).
    public var messagesSent: UInt64 = 0
    /// Received runs dropped because they were truncated, of an unknown address family, or of too many segments.
    public var droppedMalformed: UInt64 = 0
    /// Packets dropped because the socket was full and their memory was valid only until the flush.
    public var droppedBlocked: UInt64 = 0
    /// Packets that could not be made because no send slot was free.
    public var droppedWithoutSlot: UInt64 = 0
    /// Packets dropped because they were too long for the route or the protocol, or queued on a closed socket.
    public var droppedOversize: UInt64 = 0
    /// Packets dropped because of any other send error: no route, refused, not permitted.
    public var droppedUnreachable: UInt64 = 0

    /// Receive errors that were ignored.
    public var receiveErrors: UInt64 = 0

    /// The number of dropped packets by the reason's name in status and metrics; only reasons that occurred.
    public var drops: [String: UInt64] {
        let all = [
            "socketMalformed": droppedMalformed, "socketFull": droppedBlocked, "noSendSlot": droppedWithoutSlot,
            "tooLongForPath": droppedOversize, "notSent": droppedUnreachable,
        ]
        return all.filter { $0.value > 0 }
    }

    /// Counters of zero.
    public init() {}
}
