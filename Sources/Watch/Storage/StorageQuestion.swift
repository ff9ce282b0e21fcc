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
        /// Test soon whether paths go over a node, which has answered nothing.
        case testPaths(NodeID)
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
        /// The seed of the box's key.
        let seed: Bytes32
        let task: Task
        let network: Bytes32

        enum Task: Sendable {
            case list
            /// Fetch the item with this number of a listing.
            case fetch(log: UInt64, offset: UInt64)
            case store(height: UInt64, StoredItem)
        }

        /// The kind of the answer.
        public var method: StoreAnswer.Method {
            switch task {
            case .list: .list
            case .fetch: .fetch
            case .store: .store
            }
        }

        /// The arguments in the request of `binding`.
        public func arguments(_ binding: Bytes32) -> [UInt8] {
            func read(_ log: UInt64) -> BoxRead {
                let message = BoxRead.message(box: box, binding: binding, network: network)
                return BoxRead(box, log: log, signature: TestBox.signingKey(seed).sign(message.rawSpan))
            }
            let request: StoreRequest =
                switch task {
                case .list: .list(read(0), kinds: .all)
                case .fetch(let log, let offset): .fetch(read(log), offsets: [offset])
                case .store(let height, let item): .store(height: height, item)
                }
            return request.arguments()
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
