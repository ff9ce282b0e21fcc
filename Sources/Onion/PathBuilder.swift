internal import BasicContainers
public import OnionCrypto
public import Wire

/// One hop of a path to be built, as the client knows it from the node's descriptor.
public struct HopTarget: Sendable {
    /// The node's id: its Ed25519 public key.
    public var node: Bytes32
    /// The node's current onion public key, 1,216 bytes.
    public var onionKey: [UInt8]
    /// The AEAD for this hop; the client and the hop must both support it.
    public var suite: Suite

    /// The hop at `node`.
    public init(node: Bytes32, onionKey: [UInt8], suite: Suite) {
        self.node = node
        self.onionKey = onionKey
        self.suite = suite
    }

    /// The hop that `descriptor` describes, with the fastest suite that both ends have.
    ///
    /// Where they share none, the build fails with ``PathBuildError/suiteUnavailable(_:)`` or at the hop.
    public init(_ descriptor: Descriptor) {
        self.init(
            node: descriptor.node.key, onionKey: descriptor.onionKey,
            suite: descriptor.suites.intersection(.available).preferred ?? .chacha20poly1305)
    }
}

/// Why a build could not begin.
public enum PathBuildError: Error, Equatable {
    /// The number of hops is not 1 to 4.
    case hopCount
    /// The onion key of this hop (0 is the guard) is invalid.
    case badOnionKey(Int)
    /// This machine cannot run the suite of this hop.
    case suiteUnavailable(Int)
}

/// The result of a build.
public enum PathBuildResult: ~Copyable {
    /// The path is built; packets go to the guard under this path id.
    case built(ClientPath, pathID: UInt64)
    /// A hop (0 is the guard) refused, for this reason.
    case refused(hop: Int, BuildStatus)
    /// The record of a hop does not verify or has an invalid value: this hop or one before it has changed the reply.
    case broken(hop: Int)
}

/// Builds one path from the client's side (protocol.md, section 6).
///
/// The initializer makes the BUILD message's content; `receive` ends the build with the answer. Keys that are no longer
/// needed are wiped then.
public struct PathBuilder: ~Copyable {
    private struct Hop: ~Copyable {
        let slot: Int
        let suite: Suite
        let keys: BuildKeys
        let ephemeral: AgreementKey
        /// The record as the hop receives it.
        let record: [UInt8]
    }

    private var hops: RigidArray<Hop>
    /// The four records for the guard.
    public let records: [UInt8]

    /// Makes the records of a path through `hops`, guard first.
    ///
    /// `time` is the client's wall clock, corrected by nodes' times. Costs one X-Wing encapsulation and one key pair
    /// for each hop.
    public init(
        hops targets: [HopTarget], network: Bytes32, time: UnixTime, source: BuildSource = .system
    ) throws(PathBuildError) {
        let count = targets.count
        guard (1...Packet.slotCount).contains(count) else { throw .hopCount }
        let size = BuildMessage.recordSize
        var keys = RigidArray<BuildKeys>(capacity: count)
        var ephemerals = RigidArray<AgreementKey>(capacity: count)
        var openings: [[UInt8]] = []
        for (index, target) in targets.enumerated() {
            guard target.suite.isAvailable else { throw .suiteUnavailable(index) }
            let onionKeyHash = Blake2b.digest(target.onionKey.rawSpan)
            let encapsulation: KEM.Encapsulation
            do { encapsulation = try source.encapsulate(target.onionKey) } catch { throw .badOnionKey(index) }
            let ephemeral = source.ephemeral()
            let opening =
                [UInt8](onionKeyHash.array.prefix(BuildMessage.ciphertextOffset)) + encapsulation.ciphertext
                + ephemeral.publicKey.array
            guard opening.count == BuildMessage.sealedOffset else { throw .badOnionKey(index) }
            keys.append(
                BuildKeys(
                    shared: encapsulation.secret, network: network, node: target.node, onionKeyHash: onionKeyHash,
                    opening: opening.rawSpan))
            ephemerals.append(ephemeral)
            openings.append(opening)
        }

        // The records that each hop will find after those made for hops: random at first, then peeled and filled.
        var views: [[UInt8]] = []
        var view = [UInt8](repeating: 0, count: count * size) + source.fill((BuildMessage.recordCount - count) * size)
        for index in 0..<count {
            views.append(view)
            view = BuildRecords.peel(view.rawSpan, keys[index])
        }
        // From the last hop to the first: seal with the following records as associated data, then place the result in
        // the view of the hop before.
        for index in (0..<count).reversed() {
            if index + 1 < count {
                let real = (count - index - 1) * size
                var behind = [UInt8](views[index + 1].prefix(BuildMessage.recordsSize - size))
                var span = behind.mutableRawSpan
                ChaCha20.xor(&span, key: keys[index].peel)
                views[index].replaceSubrange(size..<size + real, with: behind.prefix(real))
            }
            views[index].replaceSubrange(0..<openings[index].count, with: openings[index])
            let isLast = index + 1 == count
            let body = BuildBody(
                slot: Self.slot(of: index, count), nextSlot: isLast ? 0 : Self.slot(of: index + 1, count),
                suite: targets[index].suite.rawValue, timeUnits: BuildMessage.timeUnits(time),
                nextNode: isLast ? Bytes32() : targets[index + 1].node
            ).encoded
            let current = views[index]
            let associated = BuildRecords.associated(current.rawSpan)
            let sealed = keys[index].record.seal(body.rawSpan, associated: associated.rawSpan, counter: 0)
            views[index].replaceSubrange(BuildMessage.sealedOffset..<size, with: sealed)
        }

        hops = RigidArray(capacity: count)
        for index in (0..<count).reversed() {
            guard let hopKeys = keys.popLast(), let ephemeral = ephemerals.popLast() else { break }
            hops.insert(
                Hop(
                    slot: Int(Self.slot(of: index, count)), suite: targets[index].suite, keys: hopKeys,
                    ephemeral: ephemeral, record: [UInt8](views[index].prefix(size))), at: 0)
        }
        records = views[0]
    }

    /// The slot of hop `index` of `count`.
    private static func slot(of index: Int, _ count: Int) -> UInt8 { UInt8(index + 1 == count ? 4 : index + 1) }

    /// The body of the BUILD message; `pathID` is the client's id for backward packets.
    public func message(pathID: UInt64) -> [UInt8] { BuildMessage.encode(pathID: pathID, records) }

    /// Ends the build with the body of the BUILT message.
    public consuming func receive(_ built: RawSpan, now: Instant) -> PathBuildResult {
        guard built.byteCount == BuildMessage.builtSize else { return .broken(hop: 0) }
        let pathID = unsafe UInt64(littleEndian: built.unsafeLoadUnaligned(as: UInt64.self))
        var records = [UInt8](copying: built.extracting(8..<BuildMessage.builtSize))
        let size = BuildMessage.replyRecordSize
        var layers = RigidArray<HopKeys>(capacity: hops.count)
        var index = 0
        while index < hops.count {
            let slot = hops[index].slot
            let own = (slot - 1) * size
            guard let hopEphemeral = Bytes32([UInt8](records[own..<own + BuildMessage.replySealedOffset])) else {
                return .broken(hop: index)
            }
            let exchange: Secret
            do { exchange = try hops[index].ephemeral.agree(with: hopEphemeral) } catch { return .broken(hop: index) }
            let secret = hops[index].keys.path(
                exchange: exchange, record: hops[index].record.rawSpan, hopEphemeral: hopEphemeral)
            let reply = HopReply(secret: secret, slot: slot, ephemeral: hopEphemeral)
            guard let status = reply.read(&records) else { return .broken(hop: index) }
            if status != .ready { return .refused(hop: index, status) }
            layers.append(HopKeys(secret: secret, slot: slot, suite: hops[index].suite))
            index += 1
            if index == hops.count {
                guard pathID != 0 else { return .broken(hop: 0) }
                let path = ClientPath(keys: layers, secrets: SessionSecrets(secret: secret), now: now)
                return .built(path, pathID: pathID)
            }
        }
        return .broken(hop: 0)
    }
}

extension BuildMessage {
    /// The body of a BUILD or BUILT message.
    public static func encode(pathID: UInt64, _ records: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(capacity: 8 + records.count)
        writer.u64(pathID)
        writer.raw(records)
        return writer.bytes
    }
}
