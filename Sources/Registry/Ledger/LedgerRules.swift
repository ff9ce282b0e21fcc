internal import OnionCrypto
public import Wire

/// The parameters of a network's ledger: its genesis, its authorities, and the times of blocks.
public struct LedgerRules: Sendable {
    /// The largest number of authorities.
    public static let maximumAuthorities = 32
    /// How far a block's time may be ahead of the checking node's clock, in seconds.
    public static let clockTolerance: UInt64 = 60

    /// An authority, which signs blocks.
    public struct Member: Hashable, Sendable {
        /// The authority's Ed25519 public key.
        public let key: Bytes32
        /// The node at which it is reached.
        public let node: NodeID

        /// The authority `key` at `node`.
        public init(key: Bytes32, node: NodeID) {
            self.key = key
            self.node = node
        }
    }

    /// The network's id.
    public let network: Bytes32
    /// The authorities, in the network file's order.
    public let authorities: [Member]
    /// How many of them make a block final.
    public let threshold: Int
    /// Seconds from one block to the next.
    public let blockSeconds: UInt64
    /// Seconds for which one authority leads.
    public let slotSeconds: UInt64
    /// The state before the first block.
    public let genesis: RegistryState
    /// The hash that the first block has as that of the previous one.
    public let genesisHash: Bytes32

    /// The rules of a ledger; nil unless there are 1 to 32 authorities with different keys and nodes, more than half of
    /// them must sign, the times are not zero, and `genesis` has height 0.
    public init?(
        authorities: [Member], threshold: Int, blockSeconds: UInt64, slotSeconds: UInt64, genesis: RegistryState
    ) {
        guard (1...Self.maximumAuthorities).contains(authorities.count),
            Set(authorities.map(\.key)).count == authorities.count,
            Set(authorities.map(\.node)).count == authorities.count,
            (authorities.count / 2 + 1...authorities.count).contains(threshold), blockSeconds > 0, slotSeconds > 0,
            genesis.height == 0
        else { return nil }
        network = genesis.network
        self.authorities = authorities
        self.threshold = threshold
        self.blockSeconds = blockSeconds
        self.slotSeconds = slotSeconds
        self.genesis = genesis
        var writer = ByteWriter()
        writer.bytes32(genesis.digest)
        writer.u8(UInt8(threshold))
        writer.u8(UInt8(authorities.count))
        for authority in authorities { writer.bytes32(authority.key) }
        genesisHash = Block.hash(.ledgerGenesis, writer.bytes)
    }

    /// The place of the authority that is reached at `node`; nil if there is none.
    public func authority(at node: NodeID) -> Int? { authorities.firstIndex { $0.node == node } }

    /// The slot of a moment in milliseconds since 1970.
    public func slot(at now: UInt64) -> UInt64 { now / 1_000 / slotSeconds }

    /// How many seconds the clock of the leader that sends `request` is ahead of a clock that shows `now` milliseconds.
    ///
    /// Negative if it is behind. A block's time gives the value; a slot gives its lower limit.
    func clockDifference(of request: AuthorityRequest, now: UInt64) -> Int64 {
        let seconds = now / 1_000
        let present = slot(at: now)
        let theirs: UInt64
        if case .propose(_, nil, let block) = request {
            theirs = block.time
        } else {
            // The beginning of a future slot, or the end of a past one.
            let edge = request.slot > present ? request.slot : request.slot + 1
            let (time, isTooLarge) = edge.multipliedReportingOverflow(by: slotSeconds)
            theirs = isTooLarge ? .max : time
        }
        return theirs >= seconds ? Int64(clamping: theirs - seconds) : -Int64(clamping: seconds - theirs)
    }

    /// The length of a slot in milliseconds.
    var slotLength: UInt64 { slotSeconds * 1_000 }

    /// The place of the authority that leads in a slot of the height after the state with `seed`: the authorities take
    /// turns, and the seed selects the first.
    public func leader(of slot: UInt64, after seed: Bytes32) -> Int {
        let count = UInt64(authorities.count)
        let first = seed.array.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) } % count
        return Int((slot % count + first) % count)
    }

    /// The message for which the maker of the block at `height` proves its random value, after the state with `seed`.
    public func proofInput(height: UInt64, after seed: Bytes32) -> [UInt8] {
        var writer = ByteWriter()
        writer.prefix(.ledgerTurn)
        writer.bytes32(network)
        writer.u64(height)
        writer.bytes32(seed)
        return writer.bytes
    }

    /// The seed of the state after a block of `maker`; nil if the proof does not verify.
    func seed(of proof: [UInt8], maker: UInt8, height: UInt64, after seed: Bytes32) -> Bytes32? {
        let place = Int(maker)
        guard place < authorities.count else { return nil }
        let value = SigningKey.randomValue(
            of: proof.rawSpan, for: proofInput(height: height, after: seed).rawSpan, by: authorities[place].key)
        return value.map { Block.hash(.ledgerSeed, $0) }
    }

    /// The message that an authority signs to accept a block in a slot; this does not make the block final.
    public func acceptance(height: UInt64, slot: UInt64, hash: Bytes32) -> [UInt8] {
        var writer = ByteWriter()
        writer.prefix(.ledgerAccept)
        writer.bytes32(network)
        writer.u64(height)
        writer.u64(slot)
        writer.bytes32(hash)
        return writer.bytes
    }

    /// The message that an authority signs in a slot to make a block final.
    public func seal(height: UInt64, slot: UInt64, hash: Bytes32) -> [UInt8] {
        var writer = ByteWriter()
        writer.prefix(.ledgerSeal)
        writer.bytes32(network)
        writer.u64(height)
        writer.u64(slot)
        writer.bytes32(hash)
        return writer.bytes
    }

    /// Whether `certificate` proves that enough authorities accepted the block of this hash in its slot.
    func isGood(_ certificate: Certificate, height: UInt64, hash: Bytes32) -> Bool {
        do throws(LedgerRefusal) {
            let message = acceptance(height: height, slot: certificate.slot, hash: hash)
            try check(certificate.acceptances, over: message)
            return true
        } catch {
            return false
        }
    }

    /// Throws unless `signatures` are of enough different authorities over `message`, and all of them verify.
    func check(_ signatures: [AuthoritySignature], over message: [UInt8]) throws(LedgerRefusal) {
        var next = 0
        for signature in signatures {
            let place = Int(signature.authority)
            guard place < authorities.count, place >= next else { throw .unknownAuthority(place) }
            next = place + 1
            let key = authorities[place].key
            guard SigningKey.verify(signature.bytes.rawSpan, of: message.rawSpan, by: key) else {
                throw .wrongSignature(authority: place)
            }
        }
        guard signatures.count >= threshold else {
            throw .tooFewSignatures(found: signatures.count, needed: threshold)
        }
    }
}
