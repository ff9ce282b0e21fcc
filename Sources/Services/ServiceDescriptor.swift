public import Wire

/// A node at which a service takes introductions, and the key that names them there.
public struct IntroductionPoint: Hashable, Sendable {
    /// The length of an introduction point.
    static let size = 64

    /// The node.
    public let node: NodeID
    /// The introduction key: an Ed25519 key of this service at this node.
    public let key: Bytes32

    /// The introduction point at `node` with `key`.
    public init(node: NodeID, key: Bytes32) {
        self.node = node
        self.key = key
    }
}

/// What a client needs to reach one instance of a service (protocol.md, section 14.4).
///
/// A value keeps to every bound of the format.
public struct ServiceDescriptor: Hashable, Sendable {
    /// What a service says of itself; the raw value is the byte on the wire, without the bit for restricted services.
    public struct Traits: OptionSet, Hashable, Sendable {
        /// The bits on the wire.
        public let rawValue: UInt8
        /// The traits with these bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// Its paths have one hop: its location is not hidden.
        public static let singleHop = Traits(rawValue: 2)
        /// It takes datagrams.
        public static let datagrams = Traits(rawValue: 4)
        /// All traits that the protocol knows.
        static let known: Traits = [.singleHop, .datagrams]
    }

    /// The instance.
    public let instance: InstanceID
    /// What the service says of itself.
    public let traits: Traits
    /// The suites that it takes for the end-to-end layer.
    public let suites: SuiteSet
    /// The X-Wing public key of the instance for introductions.
    public let encryptionKey: [UInt8]
    /// One to six introduction points.
    public let introductionPoints: [IntroductionPoint]
    /// Parts as in a node's descriptor (protocol.md, section 10.1); unknown ones are passed on.
    public let extensions: [UInt8]

    /// A descriptor of these values; nil where one is out of its bounds.
    public init?(
        instance: InstanceID, traits: Traits = [], suites: SuiteSet, encryptionKey: [UInt8],
        introductionPoints: [IntroductionPoint], extensions: [UInt8] = []
    ) {
        guard traits.isSubset(of: .known), !suites.isEmpty, suites.isSubset(of: .known),
            encryptionKey.count == DescriptorForm.encryptionKeySize,
            1...ServiceLimits.introductionPoints ~= introductionPoints.count,
            extensions.count <= DescriptorForm.room(beside: introductionPoints.count)
        else { return nil }
        self.instance = instance
        self.traits = traits
        self.suites = suites
        self.encryptionKey = encryptionKey
        self.introductionPoints = introductionPoints
        self.extensions = extensions
    }
}
