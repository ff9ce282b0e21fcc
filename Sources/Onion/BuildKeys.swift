internal import OnionCrypto
internal import Wire

/// The keys that a build's record gives to the client and to its hop (protocol.md, sections 6.3 and 6.4).
struct BuildKeys: ~Copyable {
    private let root: Secret
    /// `network ‖ node id ‖ H(onion public key)`: the common start of both derivations.
    private let identity: [UInt8]

    /// The keys of the record that begins with `opening`, whose ciphertext carries `shared`.
    init(shared: borrowing Secret, network: Bytes32, node: Bytes32, onionKeyHash: Bytes32, opening: RawSpan) {
        identity = network.array + node.array + onionKeyHash.array
        root = shared.derive("build", context: identity + [UInt8](copying: opening))
    }

    /// Seals or opens the record's body.
    var record: AEADKey { AEADKey(.chacha20poly1305, root.derive("record")) }
    /// The key of the stream that the hop removes from the other records.
    var peel: Secret { root.derive("peel") }
    /// The key of the stream that the hop writes to the last place.
    var filler: Secret { root.derive("filler") }

    /// The hop's secret, derived from the exchange of the two ephemerals and the transcript.
    func path(exchange: borrowing Secret, record: RawSpan, hopEphemeral: Bytes32) -> Secret {
        var transcript = Blake2b(outputSize: 32)
        transcript.update(identity.rawSpan)
        transcript.update(record)
        hopEphemeral.withBytes { transcript.update($0) }
        return root.derive("path", mixing: exchange, context: transcript.finish())
    }
}

/// The four records in one array, changed in place.
enum BuildRecords {
    /// Removes a hop's layer: the records after the first move up one place, and the filler takes the last.
    static func peel(_ records: RawSpan, _ keys: borrowing BuildKeys) -> [UInt8] {
        let size = BuildMessage.recordSize
        var output = [UInt8](copying: records.extracting(size..<BuildMessage.recordsSize))
        do {
            var span = output.mutableRawSpan
            ChaCha20.xor(&span, key: keys.peel)
        }
        var filler = [UInt8](repeating: 0, count: size)
        do {
            var span = filler.mutableRawSpan
            ChaCha20.xor(&span, key: keys.filler)
        }
        output.append(contentsOf: filler)
        return output
    }

    /// The associated data of the first of four records: its opening and the three records that follow.
    static func associated(_ records: RawSpan) -> [UInt8] {
        [UInt8](copying: records.extracting(0..<BuildMessage.sealedOffset))
            + [UInt8](copying: records.extracting(BuildMessage.recordSize..<BuildMessage.recordsSize))
    }
}
