public import Wire

/// The method of a request (protocol.md, section 13.3).
public enum RequestMethod: UInt8, CaseIterable, Sendable {
    /// Stores an item.
    case store = 1
    /// Deletes items.
    case delete = 2
    /// Lists the items of a box.
    case list = 3
    /// Returns items of a box.
    case fetch = 4
    /// Reserved for services.
    case introduce = 5
    /// Returns the height and the state of the node's store.
    case status = 8
    /// Passes a sealed request on to a second target.
    case relay = 9
    /// Returns items that anyone may read.
    case lookup = 10
    /// Returns a node's newest descriptor.
    case descriptor = 11

    /// Whether the answer waits for another node or a client; the proxy is then told at once that the answer comes
    /// later.
    var isSlow: Bool {
        switch self {
        case .introduce, .relay: true
        case .store, .delete, .list, .fetch, .status, .lookup, .descriptor: false
        }
    }

    /// Whether the terminal of the client's own path may be asked too.
    var isForOwnTerminal: Bool { !isSlow }
}

/// The status of an answer, its first byte; 5 is reserved, and an answer with it is invalid.
public enum RequestStatus: UInt8, CaseIterable, Sendable {
    /// Done; the method's result follows.
    case done = 0
    /// The arguments cannot be read.
    case malformed = 1
    /// The method or an item's kind is unknown.
    case unknown = 2
    /// The node is not a replica of the box. Followed by height u64.
    case notReplica = 3
    /// A quota is full, or the answer does not fit.
    case full = 4
    /// The requester is not allowed to make this request.
    case notAuthorised = 6
    /// The time of the request or of an item is invalid.
    case timeInvalid = 7
    /// The node is busy. Followed by seconds u8.
    case busy = 8
    /// The node has a newer version. Followed by created u32 and counter u8.
    case superseded = 9

    /// The length of the result in bytes; nil if it depends on the method.
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
    /// The text of the status for users.
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

/// A target's answer to a request: a status and its data.
public struct RequestAnswer: Hashable, Sendable {
    /// The first byte: `done`, or why there is no result.
    public let status: RequestStatus
    /// The method's result, or the data of the status.
    public let result: [UInt8]

    /// An answer; traps if the result has the wrong length for its status.
    public init(_ status: RequestStatus, _ result: [UInt8] = []) {
        precondition(status.resultSize.map { $0 == result.count } ?? true, "each status has its length")
        self.status = status
        self.result = result
    }

    /// The answer of a busy node, which may be asked again after `seconds`.
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
