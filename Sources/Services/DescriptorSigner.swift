public import OnionCrypto
public import Swarm
public import Wire

/// Makes the descriptors of one instance in one period.
///
/// Its signing key is new and certified by the blinded key. So the service's own key is needed once for a period.
public struct DescriptorSigner: ~Copyable {
    /// The blinded key of the period: the box of the descriptors.
    public let box: Bytes32
    /// The instance's name in the box.
    public let name: Bytes16
    private let identity: Bytes32
    private let instance: InstanceID
    private let network: Bytes32
    private let key: SigningKey
    private let certificate: NamedVersion.Certificate

    /// The signer of `instance` of the service with the key `identity`.
    public init(
        _ identity: borrowing SigningKey, instance: borrowing ServiceInstance, in period: TimePeriod, network: Bytes32
    ) {
        self.init(identity, instance: instance, in: period, network: network, key: SigningKey())
    }

    /// The same with a given signing key.
    init(
        _ identity: borrowing SigningKey, instance: borrowing ServiceInstance, in period: TimePeriod, network: Bytes32,
        key: consuming SigningKey
    ) {
        let blinded = BlindedKey(identity, for: .service, in: period, network: network)
        let name = instance.name(in: blinded.publicKey)
        let message = NamedVersion.Certificate.message(
            box: blinded.publicKey, kind: .descriptor, name: name, key: key.publicKey, network: network)
        box = blinded.publicKey
        self.name = name
        certificate = NamedVersion.Certificate(key: key.publicKey, signature: blinded.sign(message.rawSpan))
        self.identity = identity.publicKey
        self.instance = instance.id
        self.network = network
        self.key = key
    }

    /// Seals and signs `descriptor`, which must be of this instance.
    ///
    /// With `clients` (none to 32) only their holders can read it; with nil, everybody who knows the address.
    public borrowing func item(
        of descriptor: ServiceDescriptor, _ stamp: DescriptorStamp, clients: [ClientKey]? = nil
    ) throws(DescriptorFault) -> StoredItem {
        guard descriptor.instance == instance, clients?.count ?? 0 <= ServiceLimits.clients else { throw .bounds }
        let place = SealedPlace(box: box, salt: SecureRandom.bytes(SealedPlace.saltSize))
        let cookie = cookie(isRestricted: clients != nil, in: place)
        let entries = ClientEntries.make(for: clients ?? [], wrapping: cookie, in: place)
        return try item(
            of: descriptor, stamp, salt: place.salt, isRestricted: clients != nil, cookie: cookie, entries: entries)
    }

    private borrowing func cookie(isRestricted: Bool, in place: SealedPlace) -> Secret {
        guard isRestricted else { return place.openCookie(of: identity) }
        return Secret.random()
    }

    /// The same with all that is drawn at random.
    borrowing func item(
        of descriptor: ServiceDescriptor, _ stamp: DescriptorStamp, salt: [UInt8], isRestricted: Bool,
        cookie: borrowing Secret, entries: [UInt8]
    ) throws(DescriptorFault) -> StoredItem {
        let content = descriptor.content
        let sealed = AEADKey(.chacha20poly1305, cookie).seal(content.rawSpan, associated: RawSpan(), counter: 0)
        let restricted = isRestricted ? DescriptorForm.restricted : 0
        let plain = DescriptorForm.plain(
            flags: descriptor.traits.rawValue | restricted, suites: descriptor.suites.rawValue, instance: instance,
            entries: entries, sealedContent: sealed)
        return try item(plain: plain, stamp, salt: salt)
    }

    /// Seals and signs this outer plain part without checking it, so that tests can make bad descriptors.
    package borrowing func item(
        plain: [UInt8], _ stamp: DescriptorStamp, salt: [UInt8]
    ) throws(DescriptorFault) -> StoredItem {
        let header = ItemHeader(kind: .descriptor, box: box, created: stamp.created)
        // The item with zeros in place of the sealed part has all that comes before that part.
        let zeros = [UInt8](repeating: 0, count: DescriptorForm.sealedSize)
        let unsigned = [UInt8](repeating: 0, count: SigningKey.signatureSize)
        let blank = try body(stamp, salt + zeros)
        guard let draft = StoredItem(header, body: blank, network: network, signature: { _ in unsigned }) else {
            throw .bounds
        }
        let head = draft.bytes.rawSpan.extracting(first: DescriptorForm.sealedOffset)
        let sealKey = SealedPlace(box: box, salt: salt).sealKey(of: identity, network: network)
        let body = try body(stamp, salt + sealKey.seal(plain.rawSpan, associated: head, counter: 0))
        guard let item = StoredItem(header, body: body, network: network, signature: { key.sign($0.rawSpan) }) else {
            throw .bounds
        }
        return item
    }

    /// Seals and signs this content without checking it, readable by everybody who knows the address; for tests.
    ///
    /// The client entries are zeros.
    package borrowing func item(
        content: [UInt8], flags: UInt8, suites: UInt8, _ stamp: DescriptorStamp, salt: [UInt8]
    ) throws(DescriptorFault) -> StoredItem {
        let cookie = SealedPlace(box: box, salt: salt).openCookie(of: identity)
        let sealed = AEADKey(.chacha20poly1305, cookie).seal(content.rawSpan, associated: RawSpan(), counter: 0)
        let plain = DescriptorForm.plain(
            flags: flags, suites: suites, instance: instance,
            entries: [UInt8](repeating: 0, count: ClientEntries.size), sealedContent: sealed)
        return try item(plain: plain, stamp, salt: salt)
    }

    private borrowing func body(_ stamp: DescriptorStamp, _ content: [UInt8]) throws(DescriptorFault) -> [UInt8] {
        let body = NamedVersion.body(
            kind: .descriptor, name: name, counter: stamp.counter, certificate: certificate, content: content)
        guard let body, content.count == SealedPlace.saltSize + DescriptorForm.sealedSize else { throw .bounds }
        return body
    }
}
