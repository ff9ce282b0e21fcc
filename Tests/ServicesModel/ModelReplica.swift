internal import OnionCrypto
internal import SeededRandom
internal import Swarm
internal import SwarmModel
internal import Wire

/// How a replica treats questions.
public enum Conduct: CaseIterable, Sendable {
    /// As the protocol says.
    case honest
    /// It never answers.
    case silent
    /// It signs for everything and shows nothing.
    case hides
    /// It shows the first version of each name that it has seen.
    case stale
    /// It shows descriptors with a changed byte.
    case forges
    /// It answers with more than anybody asks for.
    case oversized
    /// It answers with random bytes.
    case noise
    /// It answers after nine seconds.
    case slow
    /// It answers twice.
    case repeats
    /// It refuses everything, each time for another reason, and names versions that nobody has made.
    case refuses
    /// It claims to have a newer version than the one that is to be stored.
    case outdoes
    /// Another conduct for each question.
    case mixed
}

/// A replica in memory.
final class ModelReplica {
    let key: Key
    var conduct = Conduct.honest
    var isUp = true
    /// The newest and the first version of each name, by box.
    private var newest: [Bytes32: [Bytes16: StoredItem]] = [:]
    private var first: [Bytes32: [Bytes16: StoredItem]] = [:]

    init(_ key: Key) { self.key = key }

    /// The process has restarted: its memory is empty.
    func restart() {
        newest = [:]
        isUp = true
    }

    /// How many descriptors it holds in a box.
    func count(in box: Bytes32) -> Int { newest[box]?.count ?? 0 }

    /// The newest version of each name in a box.
    func items(in box: Bytes32) -> [StoredItem] { (newest[box] ?? [:]).values.sorted { $0.id < $1.id } }

    /// Keeps an item; the refusal if it has a newer version, or the time is not valid.
    ///
    /// It must be authentic: the world looks at that once for all replicas.
    func keep(_ item: StoredItem, minute: UInt32, ahead: UInt32) -> StoreRefusal? {
        guard let version = item.version else { return .notAuthorised }
        guard item.header.created <= minute + ahead, item.header.expires > minute else { return .timeInvalid }
        let box = item.header.box
        if let old = newest[box]?[version.name], old.id != item.id, let held = old.version {
            let (mine, theirs) = ((item.header.created, version.counter), (old.header.created, held.counter))
            if mine < theirs || (mine == theirs && old.id < item.id) {
                return .superseded(created: theirs.0, counter: theirs.1)
            }
        }
        newest[box, default: [:]][version.name] = item
        if first[box]?[version.name] == nil { first[box, default: [:]][version.name] = item }
        return nil
    }

    func receipt(of id: ItemID, height: UInt64) -> [UInt8] {
        key.sign(StoreReceipt.message(height: height, id: id, network: SwarmModel.network))
    }

    /// The answer to a look-up.
    func show(_ box: Bytes32, most: UInt8, minute: UInt32, isStale: Bool, random: inout SeededGenerator) -> [[UInt8]] {
        let all = (isStale ? first[box] : newest[box]) ?? [:]
        let living = all.sorted { $0.key < $1.key }.map(\.value).filter { $0.header.expires > minute }
        return living.shuffled(using: &random).prefix(Int(most)).map(\.bytes)
    }
}
