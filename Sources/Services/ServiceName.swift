public import Wire

/// A name of a service as an app asks for it: its address, with labels in front or without.
///
/// `HostName` has turned it into lower case and removed a final dot, as for every name that an app asks for.
public struct ServiceName: Hashable, Sendable {
    /// The service.
    public let address: ServiceAddress
    /// The labels in front of the address without the dot behind them; empty if there are none.
    ///
    /// They lead to the same service, which learns them.
    public let labels: String

    /// Reads the name; throws where it does not end in a service's address.
    public init(_ name: HostName) throws(ServiceAddressError) {
        let parts = name.text.utf8.split(separator: UInt8(ascii: "."))
        guard parts.count > 1, let last = parts.last else { throw .noSuffix }
        try ServiceAddress.checkSuffix(last)
        address = try ServiceAddress(label: parts[parts.count - 2])
        labels = parts.dropLast(2).map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".")
    }
}
