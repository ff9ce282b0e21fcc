internal import OnionCrypto
public import Swarm
public import Wire

extension StorageTests {
    /// An action for the owner.
    public enum Action: Sendable {
        /// Call ``TestBox/draw(in:for:using:)`` with this map, and ``StorageTests/found(_:_:now:time:)``.
        case find(test: UInt64, SwarmMap, NodeID)
        /// Ask a node as an anonymous client, over a proxy of its own, and call
        /// ``StorageTests/answered(_:_:binding:serves:now:time:)``.
        case ask(Question)
        /// Keep the box of a node across restarts, in place of an older one.
        case keep(NodeID, TestBox)
        /// Forget the box of a node.
        case forget(NodeID)
    }

    /// A request to a replica.
    public struct Question: Sendable {
        /// Its number.
        public let number: UInt64
        /// The replica that is asked.
        public let node: NodeID
        /// The box.
        public let box: Bytes32
        /// The swarm of the box.
        public let swarm: [NodeID]
        /// The seed of the box's key, and the item to store; nil: the box is listed.
        let seed: Bytes32
        let store: (height: UInt64, item: StoredItem)?
        let network: Bytes32

        /// Whether an item is to be stored; else the box is listed.
        public var isStore: Bool { store != nil }

        /// The arguments in the request of `binding`.
        public func arguments(_ binding: Bytes32) -> [UInt8] {
            if let store { return StoreRequest.store(height: store.height, store.item).arguments() }
            let message = BoxRead.message(box: box, binding: binding, network: network)
            let read = BoxRead(box, log: 0, signature: TestBox.signingKey(seed).sign(message.rawSpan))
            return StoreRequest.list(read, kinds: .all).arguments()
        }
    }

    /// How many tests of each kind were passed, failed, or without a result.
    public struct Counts: Hashable, Sendable {
        /// The results of one kind of test.
        public struct Results: Hashable, Sendable {
            public internal(set) var passed: UInt64 = 0, failed: UInt64 = 0, unclear: UInt64 = 0
        }
        /// Tests whether a node shows an item.
        public internal(set) var retention = Results()
        /// Tests whether a node takes an item.
        public internal(set) var acceptance = Results()
    }
}
