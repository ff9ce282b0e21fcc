public import Wire

/// Why a descriptor is refused.
///
/// The cases stand in the order of the checks. To a client each of them means that there is no descriptor.
public enum DescriptorFault: Error, Hashable, Sendable {
    /// The length is not 4,096 bytes.
    case size
    /// The bytes are not an item, or a part of the name that must be zero is not.
    case form(WireError)
    /// It is an item of another kind.
    case kind
    /// The item's box is not the service's box of this period.
    case box
    /// The box key has not certified the signing key for the item's name.
    case certificate
    /// The signature is not the certified signing key's.
    case signature
    /// The time of making is too far ahead of network time.
    case early
    /// Its life has ended.
    case expired
    /// The client holds a newer version of the same name.
    case superseded
    /// The outer layer does not open with the key that follows from the address.
    case seal
    /// A number, a length or a flag is out of its bounds, or a byte that must be zero is not.
    case bounds
    /// The service is restricted, and the client has no key for it.
    case clientKeyMissing
    /// The service is restricted, and it has no entry for any of the client's keys.
    case clientKeyWrong
    /// The content does not open with the descriptor cookie.
    case content
}
