/// The result of checking a client.
///
/// Times are in milliseconds.
public struct PageReport: Encodable, Sendable {
    /// The address of the page.
    public var url: String
    /// The address that the exit resolved the host name to; nil if the host is an address.
    public var address: String?
    /// The exit that the page was fetched through, if known.
    public var exit: String?
    /// The HTTP status; nil for https.
    public var status: Int?
    /// The address that the page names, if the page is at most three words and one of them is an address.
    public var exitAddress: String?
    /// Whether the server answered the ClientHello; nil for http.
    ///
    /// Its certificate is not checked.
    public var tls: Bool?
    /// The time to resolve the name; nil if the host is an address.
    public var resolve: Double?
    /// The time to connect through the proxy.
    public var connect: Double
    /// The time from the connection to the first byte.
    public var firstByte: Double?
    /// The time for the whole check.
    public var total: Double

    enum CodingKeys: String, CodingKey {
        case url, address, exit, status, tls
        case exitAddress = "exit_address"
        case resolve = "resolve_ms"
        case connect = "connect_ms"
        case firstByte = "first_byte_ms"
        case total = "total_ms"
    }
}
