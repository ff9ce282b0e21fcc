public import Wire

/// The limits of onion requests (protocol.md, section 13.5).
public enum RequestLimits {
    // MARK: A target

    /// The envelopes that a target opens per second.
    public static let openingsPerSecond = 500
    /// The openings that run on other threads at the same time.
    public static let openingsAtOnce = 64
    /// The FORWARD messages that one node may send per second.
    public static let forwardsPerNode = 200
    /// The burst of FORWARD messages of one node.
    public static let forwardsBurst = 400
    /// The requests of one node that may be unanswered.
    public static let unanswered = 32
    /// The unanswered requests of one node that may wait for a third node or a client (RELAY, INTRODUCE).
    static let slowPerNode = 8
    /// The size of a place in the queue in bytes; 256 places are 8 MiB.
    static let queuePlace = 32_768
    static let queuePlaces = 256
    /// The requests of all nodes that are being opened or run.
    static let atWork = 1_024
    /// The openings that each generation remembers, enough for all of its 660 s.
    static func remembered(perSecond: Int) -> Int { max(1 << 19, min(perSecond, 1 << 20) * 661) }
    /// How long FORWARD waits for the sealed answer.
    public static let patience = TimeSpan.milliseconds(50)
    /// How long a request waits for its opening.
    public static let queueTime = TimeSpan.seconds(5)
    /// After this time without requests, a node's bucket is full again.
    static let peerMemory = TimeSpan.seconds(2)
    /// When to look for a token again.
    static let tokenTime = TimeSpan.milliseconds(2)
    /// The longest result in bytes that no rate limits.
    static let smallAnswer = 4_096
    /// The unit in which longer results count, in bytes; 250 per second are 4 MB/s.
    static let largeAnswerUnit = 16_384
    static let largeAnswers = 250

    // MARK: A proxy

    /// A session is a newcomer until it got this many tokens of the proxy's rate.
    static let newcomersRequests = 4
    /// The requests that a proxy accepts per second.
    public static let requestsPerSecond = 2_000
    /// The size of a place for a pending request in bytes; 4,096 places are 64 MiB.
    static let pendingPlace = 16_384
    static let pendingPlaces = 4_096
    /// The size of a place for requests that have not arrived whole, in bytes; 8,192 places are 32 MiB.
    static let arrivalPlace = 4_096
    static let arrivalPlaces = 8_192
    /// The places of one session: enough for all of its pending requests.
    static let arrivalPlacesOfSession = Source.session.pending * places(RequestOpen.maximumSize, of: arrivalPlace)
    /// A pending request younger than this keeps its place.
    static let youth = TimeSpan.seconds(1)
    /// The handshakes that requests may have under way.
    public static let handshakes = 64
    /// The handshakes of one source.
    static let handshakesOfSource = 16
    /// The wait for a link, and for a turn at the target.
    public static let linkTime = TimeSpan.seconds(3)
    /// The burst of requests that a proxy sends to one target.
    ///
    /// It is smaller than the target's burst, because delays on the way can bring messages closer together.
    static let turnBurst = forwardsBurst - unanswered
    /// When to look for a token of a target's queue again.
    static let turnTime = TimeSpan.milliseconds(5)
    /// How long a failed handshake is remembered, in milliseconds.
    public static let failureMemory: UInt64 = 30_000
    /// The failed targets that are remembered.
    static let failures = 4_096
    /// The wait for the answer, from FORWARD on.
    public static let answerTime = TimeSpan.seconds(12)

    /// The limits of one source at a proxy.
    struct Source {
        let perSecond: Int
        let burst: Int
        let pending: Int
        let bytesPerSecond: Int
        let bytesBurst: Int

        /// The limits of a session: 10 requests and 512 KiB per second, for requests and answers together.
        static let session = Source(
            perSecond: 10, burst: 60, pending: 16, bytesPerSecond: 512 << 10, bytesBurst: 2 << 20)
        /// The limits of a node that asks by RELAY.
        static let node = Source(
            perSecond: forwardsPerNode, burst: forwardsBurst, pending: unanswered, bytesPerSecond: 4 << 20,
            bytesBurst: 8 << 20)
    }

    /// After this time without requests, the buckets of a source are full again.
    static let sourceMemory = TimeSpan.seconds(6)

    /// The number of places of `place` bytes that `size` bytes take.
    static func places(_ size: Int, of place: Int) -> Int { max(1, (size + place - 1) / place) }
}
