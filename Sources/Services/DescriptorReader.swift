internal import OnionCrypto
public import Swarm
public import Wire

/// Checks and opens the descriptors of one service in one period.
public struct DescriptorReader: Hashable, Sendable {
    /// The service's blinded key: the box to look up.
    public let box: Bytes32
    private let identity: Bytes32
    private let network: Bytes32

    /// The reader for the service at `address`.
    public init(_ address: ServiceAddress, in period: TimePeriod, network: Bytes32) throws(ServiceAddressError) {
        let key = try? BlindedKey.publicKey(of: address.key, for: .service, in: period, network: network)
        guard let key else { throw .invalidKey }
        box = key
        identity = address.key
        self.network = network
    }

    /// An opened descriptor, with the instance's name and the version.
    public struct Opened: Hashable, Sendable {
        /// What a client needs to reach the instance.
        public let descriptor: ServiceDescriptor
        /// The instance's name in this period.
        public let name: Bytes16
        /// Orders it among the descriptors of the same name.
        public let version: DescriptorVersion
        /// The minute from which on it has expired.
        let expires: UInt32
    }

    /// Checks the bytes of an item in the order of ``DescriptorFault``, and opens the descriptor in it.
    ///
    /// The replica that sent the bytes is not trusted. `now` is network time. `held` has the newest version of each
    /// name that the client holds, `keys` the client's keys for the service.
    public func open(
        _ bytes: RawSpan, at now: UnixTime, held: [Bytes16: DescriptorVersion] = [:], keys: [ClientKey] = []
    ) throws(DescriptorFault) -> Opened {
        guard bytes.byteCount == ServiceLimits.descriptorSize else { throw .size }
        let item: StoredItem
        do { item = try StoredItem(decoding: bytes, network: network) } catch { throw .form(error) }
        guard item.header.kind == .descriptor, let named = item.version, let certificate = named.certificate else {
            throw .kind
        }
        guard item.header.box == box else { throw .box }
        guard named.name.array[8...].allSatisfy({ $0 == 0 }) else { throw .form(.outOfRange) }
        guard item.isAuthentic(network: network, writers: WriteKeys(box: box, grant: nil)) else {
            throw isCertified(certificate, named.name) ? .signature : .certificate
        }
        let stamp = DescriptorStamp(created: item.header.created, counter: named.counter)
        try checkLife(item.header, at: now)
        let version = DescriptorVersion(stamp: stamp, id: item.id)
        if let held = held[named.name], version.isBehind(held) { throw .superseded }
        let plain = try open(item)
        let content = try content(of: plain, in: place(of: item), keys)
        guard let descriptor = try? DescriptorForm.descriptor(plain, content: content) else { throw .bounds }
        return Opened(
            descriptor: descriptor, name: named.name, version: version, expires: item.header.expires)
    }

    private func isCertified(_ certificate: NamedVersion.Certificate, _ name: Bytes16) -> Bool {
        let message = NamedVersion.Certificate.message(
            box: box, kind: .descriptor, name: name, key: certificate.key, network: network)
        return SigningKey.verify(certificate.signature.rawSpan, of: message.rawSpan, by: box)
    }

    private func checkLife(_ header: ItemHeader, at now: UnixTime) throws(DescriptorFault) {
        let now = now.minutes
        guard header.created <= now || header.created - now <= ServiceLimits.ahead else { throw .early }
        guard now < header.expires else { throw .expired }
    }

    private func place(of item: StoredItem) -> SealedPlace {
        SealedPlace(box: box, salt: Array(item.bytes[DescriptorForm.saltOffset..<DescriptorForm.sealedOffset]))
    }

    /// The outer plain part.
    private func open(_ item: StoredItem) throws(DescriptorFault) -> DescriptorForm.Plain {
        let bytes = item.bytes
        let head = bytes.rawSpan.extracting(first: DescriptorForm.sealedOffset)
        let sealed = bytes.rawSpan.extracting(
            DescriptorForm.sealedOffset..<DescriptorForm.sealedOffset + DescriptorForm.sealedSize)
        let key = place(of: item).sealKey(of: identity, network: network)
        guard let opened = key.open(sealed, associated: head, counter: 0) else { throw .seal }
        guard let plain = try? DescriptorForm.Plain(opened), plain.traits.isSubset(of: .known) else { throw .bounds }
        return plain
    }

    private func content(
        of plain: DescriptorForm.Plain, in place: SealedPlace, _ keys: [ClientKey]
    ) throws(DescriptorFault) -> [UInt8] {
        let key = AEADKey(.chacha20poly1305, try cookie(of: plain, in: place, keys))
        guard let content = key.open(plain.sealedContent.rawSpan, associated: RawSpan(), counter: 0) else {
            throw .content
        }
        return content
    }

    private func cookie(
        of plain: DescriptorForm.Plain, in place: SealedPlace, _ keys: [ClientKey]
    ) throws(DescriptorFault) -> Secret {
        guard plain.isRestricted else { return place.openCookie(of: identity) }
        guard !keys.isEmpty else { throw .clientKeyMissing }
        for key in keys {
            if let cookie = key.cookie(from: plain.entries, in: place) { return cookie }
        }
        throw .clientKeyWrong
    }
}
