internal import OnionCrypto
internal import Wire

/// Where a sealed part stands, so that a key derived for it is that of one descriptor alone: the box and the salt.
struct SealedPlace {
    /// The length of a salt.
    static let saltSize = 16

    let box: Bytes32
    let salt: [UInt8]

    /// Box and salt, as keys are derived from them.
    var context: [UInt8] { box.array + salt }

    /// The key of the sealed part of a descriptor, which follows from the address.
    func sealKey(of identity: Bytes32, network: Bytes32) -> AEADKey {
        AEADKey(.chacha20poly1305, Self.derive(identity, "descriptor", network.array + context))
    }

    /// The descriptor cookie of a service that is not restricted.
    func openCookie(of identity: Bytes32) -> Secret { Self.derive(identity, "content", context) }

    private static func derive(_ identity: Bytes32, _ label: StaticString, _ context: [UInt8]) -> Secret {
        identity.withBytes { Secret(copying: $0) }.derive(label, context: context)
    }
}
