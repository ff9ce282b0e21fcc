internal import OnionCrypto
public import Wire

/// A hop's part in the answer to a build (protocol.md, section 6.5).
///
/// Each path has one, used once.
///
/// The record of the hop with slot j is at place j. The places before it are random. The records after it come from the
/// next hop; they get one more stream, and the hop's record authenticates them.
public struct HopReply: ~Copyable {
    private let slot: Int
    private let ephemeral: Bytes32
    private let key: AEADKey
    private let stream: Secret

    /// The reply of the hop at `slot` whose path has `secret`.
    init(secret: borrowing Secret, slot: Int, ephemeral: Bytes32) {
        self.slot = slot
        self.ephemeral = ephemeral
        key = AEADKey(.chacha20poly1305, secret.derive("reply"))
        stream = secret.derive("reply stream")
    }

    private var ownOffset: Int { (slot - 1) * BuildMessage.replyRecordSize }
    private var behindOffset: Int { slot * BuildMessage.replyRecordSize }

    /// The four records of a hop that ends the build: a terminal's with `ready`, or any hop's with a reason to refuse.
    public consuming func answer(_ status: BuildStatus, source: BuildSource = .system) -> [UInt8] {
        let fill = source.fill(BuildMessage.replyRecordsSize)
        return complete(fill, before: fill, status)
    }

    /// The four records made from the next hop's, whose status this hop cannot see; nil if they are not 448 bytes.
    public consuming func wrap(_ records: RawSpan, source: BuildSource = .system) -> [UInt8]? {
        guard records.byteCount == BuildMessage.replyRecordsSize else { return nil }
        var output = [UInt8](copying: records)
        do {
            var span = output.mutableRawSpan
            ChaCha20.xor(&span, from: behindOffset, key: stream)
        }
        return complete(output, before: source.fill(ownOffset), .ready)
    }

    private func complete(_ records: [UInt8], before: [UInt8], _ status: BuildStatus) -> [UInt8] {
        var body = [UInt8](repeating: 0, count: BuildMessage.replyBodySize)
        body[0] = status.rawValue
        let behind = records[behindOffset...]
        let associated = ephemeral.array + behind
        let sealed = key.seal(body.rawSpan, associated: associated.rawSpan, counter: 0)
        return before.prefix(ownOffset) + ephemeral.array + sealed + behind
    }

    /// At the client: the hop's status, and the records after it without its stream.
    ///
    /// Nil if the record does not verify or has a value that no hop may send.
    func read(_ records: inout [UInt8]) -> BuildStatus? {
        let behind = records[behindOffset...]
        let associated = ephemeral.array + behind
        let sealed = [UInt8](records[ownOffset + BuildMessage.replySealedOffset..<behindOffset])
        guard let body = key.open(sealed.rawSpan, associated: associated.rawSpan, counter: 0),
            let status = BuildStatus(rawValue: body[0]), body.dropFirst().allSatisfy({ $0 == 0 })
        else { return nil }
        var span = records.mutableRawSpan
        ChaCha20.xor(&span, from: behindOffset, key: stream)
        return status
    }
}
