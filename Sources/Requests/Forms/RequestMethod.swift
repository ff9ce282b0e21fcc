public import Wire

/// What a request asks of its target (protocol.md, section 13.3).
public enum RequestMethod: UInt8, CaseIterable, Sendable {
    /// Stores an item.
    case store = 1
    /// Deletes items.
    case delete = 2
    /// Lists a box.
    case list = 3
    /// Brings items of a box.
    case fetch = 4
    /// Reserved for services.
    case introduce = 5
    /// The height, and what the node can store.
    case status = 8
    /// Passes a sealed request on to a second target.
    case relay = 9
    /// Brings items that anyone may read.
    case lookup = 10
    /// Brings a node's newest descriptor.
    case descriptor = 11

    /// Whether the answer waits for another node or client, so that the proxy is told at once that it comes later.
    var isSlow: Bool {
        switch self {
        case .introduce, .relay: true
        case .store, .delete, .list, .fetch, .status, .lookup, .descriptor: false
        }
    }

    /// Whether the terminal of the client's own path answers it too.
    var isForOwnTerminal: Bool { !isSlow }
}

/// The first byte of an answer; 5 is reserved and refused.
public enum RequestStatus: UInt8, CaseIterable, Sendable {
    /// Done; the method's result follows.
    case done = 0
    /// The arguments cannot be read.
    case malformed = 1
    /// The method or a kind is not known.
    case unknown = 2
    /// The node is not a replica; height u64.
    case notReplica = 3
    /// A quota is full, or the answer has no room.
    case full = 4
    /// Nobody who may has asked.
    case notAuthorised = 6
    /// The time of the request or of an item is not valid.
    case timeInvalid = 7
    /// To ask again later; seconds u8.
    case busy = 8
    /// A newer version is there; created u32, counter u8.
    case superseded = 9

    /// How many bytes follow; nil where the method says it.
    var resultSize: Int? {
        switch self {
        case .done: nil
        case .malformed, .unknown, .full, .notAuthorised, .timeInvalid: 0
        case .notReplica: 8
        case .busy: 1
        case .superseded: 5
        }
    }
}

extension RequestStatus {
    /// What it says, for people.
    public var name: String {
        switch self {
        case .done: "done"
        case .malformed: "the arguments cannot be read"
        case .unknown: "the method is not known"
        case .notReplica: "the node is not a replica"
        case .full: "no room"
        case .notAuthorised: "not authorised"
        case .timeInvalid: "the time of the request is not valid; check this machine's clock"
        case .busy: "busy"
        case .superseded: "a newer version is there"
        }
    }
}

/// What a target says to a request: a status with what follows it.
public struct RequestAnswer: Hashable, Sendable {
    /// The status.
    public let status: RequestStatus
    /// The method's result, or what belongs to the status.
    public let result: [UInt8]

    /// An answer; a result of the wrong length for its status traps.
    public init(_ status: RequestStatus, _ result: [UInt8] = []) {
        precondition(status.resultSize.map { $0 == result.count } ?? true, "each status has its length")
        self.status = status
        self.result = result
    }

    /// To ask again after `seconds`.
    public static func busy(seconds: UInt8) -> RequestAnswer { RequestAnswer(.busy, [seconds]) }

    /// Reads a whole answer: `status u8 │ result`.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let raw = try reader.u8()
        guard let status = RequestStatus(rawValue: raw) else { throw .unknownKind(UInt64(raw)) }
        if let size = status.resultSize, reader.remaining != size { throw .outOfRange }
        self.status = status
        result = try reader.array(reader.remaining)
    }

    /// The encoding: `status u8 │ result`.
    public func encoded() -> [UInt8] { [status.rawValue] + result }
}
