public import Wire

/// Why a descriptor is refused.
///
/// The cases stand in the order of the checks. To a client each of them means that there is no descriptor.
public enum DescriptorFault: Error, Hashable, Sendable {
    /// It has not 4,096 bytes.
    case size
    /// It is not an item, or not the one form of it.
    case form(WireError)
    /// It is an item of another kind.
    case kind
    /// It is in another box than that of the service in this period.
    case box
    /// The box key did not certify its signing key for its name.
    case certificate
    /// The signing key did not sign it.
    case signature
    /// It was made later than network time can say.
    case early
    /// Its life has ended.
    case expired
    /// A newer one of the same name is held.
    case superseded
    /// It was not sealed by somebody who knows the address.
    case seal
    /// A number, a length or a flag is out of its bounds, or a byte that must be zero is not.
    case bounds
    /// The service is restricted, and the client has no key for it.
    case clientKeyMissing
    /// The service is restricted, and none of the client's keys is one of it.
    case clientKeyWrong
    /// The content was not sealed under the descriptor cookie.
    case content
}
