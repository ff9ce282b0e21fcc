internal import OnionCrypto
public import Wire

/// Why a registry file was refused.
public enum StaticRegistryError: Error, Equatable, CustomStringConvertible {
    /// It is not a signed snapshot.
    case unreadable(WireError)
    /// It belongs to another network.
    case otherNetwork
    /// Too few of the network's authorities have signed it.
    case tooFewSignatures(signatures: Int, needed: Int)
    /// Its height is below the previous file's.
    case older(height: UInt64, held: UInt64)
    /// Its height is 2^31 or more.
    case tooHigh(height: UInt64)
    /// Its height is above the previous file's, `held`, and its time is before that one's.
    case timeWentBack(height: UInt64, held: UInt64)
    /// It has the previous file's height and differs from it.
    case conflicting(height: UInt64)
    /// Its time is more than the tolerance ahead of the clock.
    case fromTheFuture
    /// It has no staked node.
    case empty
    /// The network file names no authorities.
    case noAuthorities

    /// One sentence for the operator.
    public var description: String {
        switch self {
        case .unreadable(let error):
            "the registry file is not a signed snapshot (\(error)); get it again from its source"
        case .otherNetwork: "the registry file belongs to another network; take the one of this network"
        case .tooFewSignatures(let signatures, let needed):
            "the registry file has \(signatures) good signatures of the network's authorities and needs \(needed)"
        case .older(let height, let held):
            "the registry file has height \(height), below \(held), which was read before; take the newest one"
        case .tooHigh(let height):
            "the registry file has height \(height), and heights are below 2147483648; ask the network's authorities"
        case .timeWentBack(let height, let held):
            "the registry file of height \(height) has an earlier time than the one of height \(held); ask the "
                + "network's authorities"
        case .conflicting(let height):
            "the registry file differs from another one of the same height \(height); ask the network's authorities"
        case .fromTheFuture: "the registry file's time is in the future; check this machine's clock"
        case .empty: "the registry file has no staked node"
        case .noAuthorities: "the network file names no authorities, so no registry file can be trusted"
        }
    }
}

/// A registry as a file that authorities sign, for the simplest private networks (docs/registry.md, "Signed file").
///
/// The file is a signed snapshot (protocol.md, section 10.2); its signers are authorities of the network file. Each
/// epoch has a snapshot of the last file made before the epoch began. Its height is the file's height times 2^32, plus
/// the number of epochs since the file's time. Its time is the beginning of the epoch. The last good file stays in use
/// after a bad one.
public struct StaticRegistry: Sendable {
    private let network: Bytes32
    private let authorities: Set<NodeID>
    private let needed: Int
    private let epoch: UInt64
    /// The file that counts now, and those that count from a later epoch on, one of each epoch, by ascending height.
    private var files: [Snapshot]

    /// The registry of a network, starting with the network file's snapshot.
    public init(_ file: NetworkFile) {
        network = file.id
        authorities = Set(file.authorities.map { NodeID($0.key) })
        needed = file.authorityThreshold
        epoch = file.epochSeconds
        files = [file.snapshot.snapshot]
    }

    /// Reads a file; returns whether it is new, and keeps the previous file after a throw.
    public mutating func read(_ bytes: [UInt8], at now: UnixTime) throws(StaticRegistryError) -> Bool {
        guard let fresh = try check(bytes, at: now) else { return false }
        keep(fresh, at: now)
        return true
    }

    /// Adds a newer file; the one before it counts until the first epoch after the new one's time.
    private mutating func keep(_ fresh: Snapshot, at now: UnixTime) {
        let start = now.seconds / epoch * epoch
        let counting = files.lastIndex { $0.time.seconds <= start } ?? 0
        let all = files[counting...] + [fresh]
        // Of the files that count from the same epoch on, the last one counts.
        files = zip(all, all.dropFirst()).filter { firstEpoch(of: $0) < firstEpoch(of: $1) }.map(\.0) + [fresh]
    }

    /// The number of the first epoch in which `file` counts.
    private func firstEpoch(of file: Snapshot) -> UInt64 {
        file.time.seconds / epoch + (file.time.seconds % epoch == 0 ? 0 : 1)
    }

    private func check(_ bytes: [UInt8], at now: UnixTime) throws(StaticRegistryError) -> Snapshot? {
        guard !authorities.isEmpty else { throw .noAuthorities }
        let signed: SignedSnapshot
        do {
            signed = try SignedSnapshot(decoding: bytes.rawSpan)
        } catch {
            throw .unreadable(error)
        }
        let snapshot = signed.snapshot
        guard snapshot.network == network else { throw .otherNetwork }
        let held = files[files.count - 1]
        guard snapshot.height < 1 << 31 else { throw .tooHigh(height: snapshot.height) }
        guard snapshot.height >= held.height else { throw .older(height: snapshot.height, held: held.height) }
        if snapshot.height == held.height {
            guard snapshot.entries == held.entries, snapshot.preface == held.preface, snapshot.time == held.time
            else {
                throw .conflicting(height: held.height)
            }
            return nil
        }
        guard snapshot.time >= held.time else {
            throw .timeWentBack(height: snapshot.height, held: held.height)
        }
        guard snapshot.time.seconds <= now.seconds &+ SnapshotChain.clockTolerance else { throw .fromTheFuture }
        guard snapshot.stakedCount > 0 else { throw .empty }
        let message = Snapshot.message(digest: snapshot.digest, network: network, height: snapshot.height)
        let good = signed.signatures.count {
            authorities.contains($0.signer)
                && SigningKey.verify($0.bytes.rawSpan, of: message.rawSpan, by: $0.signer.key)
        }
        guard good >= needed else { throw .tooFewSignatures(signatures: good, needed: needed) }
        return snapshot
    }

    /// The snapshot of the epoch at `now`, from the newest file that was made before the epoch began.
    public func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot? {
        let start = now.seconds / epoch * epoch
        guard let file = files.last(where: { $0.time.seconds <= start }) else { return nil }
        let count = start / epoch - file.time.seconds / epoch
        guard count < 1 << 32, file.height < 1 << 31 else { return nil }
        let next = file.height << 32 | count
        guard next > height,
            let snapshot = Snapshot(
                network: network, height: next, time: UnixTime(seconds: start), preface: file.preface,
                entries: file.entries)
        else { return nil }
        return SignedSnapshot(snapshot)
    }
}
