internal import OnionCrypto
internal import Wire

/// The bytes of a descriptor's plain parts: the outer one under the address, the content under the descriptor cookie.
enum DescriptorForm {
    /// The length of an X-Wing public key.
    static let encryptionKeySize = KEM.publicKeySize
    /// Where the salt begins: behind the item's header, name, counter, flag, key epoch, signing key and certificate.
    static let saltOffset = 64 + 16 + 1 + 1 + 2 + 32 + 64
    /// Where the sealed part begins.
    static let sealedOffset = saltOffset + SealedPlace.saltSize
    /// The length of the sealed part.
    static let sealedSize = ServiceLimits.descriptorSize - sealedOffset - SigningKey.signatureSize
    /// The length of the outer plain part.
    static let plainSize = sealedSize - AEADKey.tagSize
    /// The length of the content, sealed.
    static let sealedContentSize = plainSize - 1 - 1 - 8 - ClientEntries.size
    /// The length of the content.
    static let contentSize = sealedContentSize - AEADKey.tagSize
    /// The flag of a restricted service.
    static let restricted: UInt8 = 1

    /// How many bytes of extensions there may be beside so many introduction points.
    static func room(beside points: Int) -> Int {
        contentSize - encryptionKeySize - 3 - IntroductionPoint.size * points
    }

    /// The outer plain part.
    static func plain(
        flags: UInt8, suites: UInt8, instance: InstanceID, entries: [UInt8], sealedContent: [UInt8]
    ) -> [UInt8] {
        var writer = ByteWriter(capacity: plainSize)
        writer.u8(flags)
        writer.u8(suites)
        writer.u64(instance.bits)
        writer.raw(entries)
        writer.raw(sealedContent)
        return writer.bytes
    }

    /// What the outer plain part says.
    struct Plain {
        let flags: UInt8
        let suites: SuiteSet
        let instance: InstanceID
        let entries: [UInt8]
        let sealedContent: [UInt8]

        var isRestricted: Bool { flags & restricted != 0 }
        var traits: ServiceDescriptor.Traits { ServiceDescriptor.Traits(rawValue: flags & ~restricted) }

        init(_ bytes: [UInt8]) throws(WireError) {
            var reader = ByteReader(bytes.rawSpan)
            flags = try reader.u8()
            suites = SuiteSet(rawValue: try reader.u8())
            instance = InstanceID(bits: try reader.u64())
            entries = try reader.array(ClientEntries.size)
            sealedContent = try reader.array(sealedContentSize)
            try reader.end()
        }
    }

    /// The descriptor of an outer plain part and its content; what is not in the one form throws.
    static func descriptor(_ plain: Plain, content: [UInt8]) throws(WireError) -> ServiceDescriptor {
        var reader = ByteReader(content.rawSpan)
        let encryptionKey = try reader.array(encryptionKeySize)
        let count = try reader.u8()
        guard 1...ServiceLimits.introductionPoints ~= Int(count) else { throw .outOfRange }
        var points: [IntroductionPoint] = []
        for _ in 0..<count {
            points.append(IntroductionPoint(node: try reader.nodeID(), key: try reader.bytes32()))
        }
        let extensions = try reader.array(Int(try reader.u16()))
        guard try reader.array(reader.remaining).allSatisfy({ $0 == 0 }),
            let descriptor = ServiceDescriptor(
                instance: plain.instance, traits: plain.traits, suites: plain.suites, encryptionKey: encryptionKey,
                introductionPoints: points, extensions: extensions)
        else { throw .outOfRange }
        return descriptor
    }
}

extension ServiceDescriptor {
    /// The bytes of the content: what is sealed under the descriptor cookie.
    package var content: [UInt8] {
        var writer = ByteWriter(capacity: DescriptorForm.contentSize)
        writer.raw(encryptionKey)
        writer.u8(UInt8(clamping: introductionPoints.count))
        for point in introductionPoints {
            writer.nodeID(point.node)
            writer.bytes32(point.key)
        }
        writer.u16(UInt16(clamping: extensions.count))
        writer.raw(extensions)
        writer.zeros(DescriptorForm.contentSize - writer.bytes.count)
        return writer.bytes
    }
}
