/// The type of a DNS record (RFC 1035, section 3.2.2, and the IANA registry).
public struct RecordType: RawRepresentable, Hashable, Sendable {
    /// The number.
    public let rawValue: UInt16
    /// The type with this number.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// An IPv4 address.
    public static let a = RecordType(rawValue: 1)
    /// A name server.
    public static let ns = RecordType(rawValue: 2)
    /// An alias.
    public static let cname = RecordType(rawValue: 5)
    /// The name of an address (RFC 1035, section 3.5; RFC 3596, section 2.5).
    public static let ptr = RecordType(rawValue: 12)
    /// A mail exchange.
    public static let mx = RecordType(rawValue: 15)
    /// Text.
    public static let txt = RecordType(rawValue: 16)
    /// An IPv6 address (RFC 3596).
    public static let aaaa = RecordType(rawValue: 28)
    /// A service (RFC 2782).
    public static let srv = RecordType(rawValue: 33)
    /// A key of an SSH server (RFC 4255).
    public static let sshfp = RecordType(rawValue: 44)
    /// A certificate (RFC 6698).
    public static let tlsa = RecordType(rawValue: 52)
    /// How to reach a service (RFC 9460).
    public static let svcb = RecordType(rawValue: 64)
    /// How to reach a web server (RFC 9460).
    public static let https = RecordType(rawValue: 65)
    /// The authorities that may issue certificates (RFC 8659).
    public static let caa = RecordType(rawValue: 257)
    /// EDNS options in place of a record (RFC 6891).
    static let opt = RecordType(rawValue: 41)

    /// Whether records of this type are supported, because their form is known here.
    public var isCarried: Bool {
        switch self {
        case .a, .ns, .cname, .ptr, .mx, .txt, .aaaa, .srv, .sshfp, .tlsa, .svcb, .https, .caa: true
        default: false
        }
    }
}
