public import Wire

/// The limits of onion requests (protocol.md, section 13.5).
public enum RequestLimits {
    // MARK: A target

    /// The envelopes that a target opens a second.
    public static let openingsPerSecond = 500
    /// The openings that run on other threads at once.
    public static let openingsAtOnce = 64
    /// The FORWARD messages of one node a second.
    public static let forwardsPerNode = 200
    /// The FORWARD messages of one node at once.
    public static let forwardsBurst = 400
    /// The unanswered requests of one node.
    public static let unanswered = 32
    /// How many of them may wait for a third node or a client (RELAY, INTRODUCE): the others stay for what is answered at once.
    static let slowPerNode = 8
    /// A place in the queue, in bytes: 256 places are 8 MiB.
    static let queuePlace = 32_768
    static let queuePlaces = 256
    /// The requests that are opened or run, of all nodes.
    static let atWork = 1_024
    /// The openings that are remembered in each generation: all of its 660 s.
    static func remembered(perSecond: Int) -> Int { max(1 << 19, min(perSecond, 1 << 20) * 661) }
    /// How long FORWARD waits for the sealed answer.
    public static let patience = TimeSpan.milliseconds(50)
    /// How long a request waits for its opening.
    public static let queueTime = TimeSpan.seconds(5)
    /// After this time without requests, a node's bucket is full again.
    static let peerMemory = TimeSpan.seconds(2)
    /// When to look again for a token.
    static let tokenTime = TimeSpan.milliseconds(2)
    /// The longest result that counts for no rate.
    static let smallAnswer = 4_096
    /// The unit in which longer ones are counted: 250 a second are 4 MB/s.
    static let largeAnswerUnit = 16_384
    static let largeAnswers = 250

    // MARK: A proxy

    /// A session that got fewer tokens of a proxy's rate is a newcomer.
    static let newcomersRequests = 4
    /// The requests that a proxy takes a second.
    public static let requestsPerSecond = 2_000
    /// A place among the pending requests, in bytes: 4,096 places are 64 MiB.
    static let pendingPlace = 16_384
    static let pendingPlaces = 4_096
    /// A place for what has come of requests, in bytes: 8,192 places are 32 MiB.
    static let arrivalPlace = 4_096
    static let arrivalPlaces = 8_192
    /// Those of a session: as much as its pending requests may have.
    static let arrivalPlacesOfSession = Source.session.pending * places(RequestOpen.maximumSize, of: arrivalPlace)
    /// A pending request that is younger keeps its place.
    static let youth = TimeSpan.seconds(1)
    /// The handshakes that requests may have under way.
    public static let handshakes = 64
    /// The handshakes of one source.
    static let handshakesOfSource = 16
    /// The wait for a link, and for a turn at the target.
    public static let linkTime = TimeSpan.seconds(3)
    /// The requests that a proxy sends to one target at once: fewer than it takes, as those that come later than others were
    /// sent come closer together.
    static let turnBurst = forwardsBurst - unanswered
    /// When to look again for a token of a target's line.
    static let turnTime = TimeSpan.milliseconds(5)
    /// How long a failed handshake is remembered, in milliseconds.
    public static let failureMemory: UInt64 = 30_000
    /// The failed targets that are remembered.
    static let failures = 4_096
    /// The wait for the answer, from FORWARD on.
    public static let answerTime = TimeSpan.seconds(12)

    /// What one source may ask of a proxy.
    struct Source {
        let perSecond: Int
        let burst: Int
        let pending: Int
        let bytesPerSecond: Int
        let bytesBurst: Int

        /// A session: 10 requests a second, 512 KiB/s both ways.
        static let session = Source(
            perSecond: 10, burst: 60, pending: 16, bytesPerSecond: 512 << 10, bytesBurst: 2 << 20)
        /// A node that asks by RELAY.
        static let node = Source(
            perSecond: forwardsPerNode, burst: forwardsBurst, pending: unanswered, bytesPerSecond: 4 << 20,
            bytesBurst: 8 << 20)
    }

    /// After this time without requests, the buckets of a source are full again.
    static let sourceMemory = TimeSpan.seconds(6)

    /// How many places of `place` bytes `size` bytes take.
    static func places(_ size: Int, of place: Int) -> Int { max(1, (size + place - 1) / place) }
}
