/// What a check of a client found; times in milliseconds.
public struct PageReport: Encodable, Sendable {
    /// What was asked for.
    public var url: String
    /// The address of a name, as the exit resolved it.
    public var address: String?
    /// The exit that the page came by, where it is known.
    public var exit: String?
    /// The status of HTTP.
    public var status: Int?
    /// The only address in the page, where it is nothing but that.
    public var exitAddress: String?
    /// Whether the server has answered as TLS does; its certificate is not checked.
    public var tls: Bool?
    /// How long the name took.
    public var resolve: Double?
    /// How long the connection took.
    public var connect: Double
    /// How long the first byte took, from when the connection was there.
    public var firstByte: Double?
    /// How long all took.
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
