import CShims
import Glibc

/// Whose this machine's sockets are, as far as the kernel tells this process.
public struct SocketUsers: Sendable {
    /// What the kernel tells this process.
    ///
    /// The kernel is asked about own sockets at the first use. It may load modules for that, and do so again at each
    /// question that it cannot answer, so it is asked no more where it does not tell.
    public static let ofThisProcess = SocketUsers(
        map: text("/proc/self/uid_map"), overflow: text("/proc/sys/kernel/overflowuid")
    ) { shim_tells_socket_users($0.number) == 1 }

    private let tellsOfTCP: Bool
    private let tellsOfUDP: Bool
    /// The number of each user who has none in this process's user namespace; nil: all users have their own.
    private let strangers: UInt32?
    /// Whether the kernel's table of this process's user namespace could be read.
    public let namespaceIsKnown: Bool

    /// The state by the contents of the kernel's files, which are empty if they cannot be read; `tells` says whether it
    /// answers questions.
    init(map: String, overflow: String, tells: (SocketAddress.Transport) -> Bool) {
        tellsOfTCP = tells(.tcp)
        tellsOfUDP = tells(.udp)
        namespaceIsKnown = !map.isEmpty
        // First number inside, first number outside, how many. A namespace can have all only if its parent has.
        let isComplete = map.split(whereSeparator: \.isWhitespace) == ["0", "0", "4294967295"]
        let number = overflow.split(whereSeparator: \.isWhitespace).first.flatMap { UInt32($0) }
        strangers = isComplete ? nil : number ?? 65_534
    }

    /// Whether the kernel tells the users of sockets.
    public func tells(_ transport: SocketAddress.Transport) -> Bool { transport == .tcp ? tellsOfTCP : tellsOfUDP }

    /// Whether each user is known to have a number of their own; otherwise those outside of this process's user
    /// namespace may share one.
    public var tellsAllApart: Bool { strangers == nil }

    /// The user whom the kernel calls `number`; nil if that stands for all who are not known here.
    func user(_ number: UInt32) -> UInt32? { number == strangers ? nil : number }

    /// The user of a socket by the kernel's answer, which is nil if there is none; it is asked only if it tells.
    func user(_ transport: SocketAddress.Transport, asking ask: () -> UInt32?) -> UInt32? {
        tells(transport) ? ask().flatMap(user) : nil
    }

    private static func text(_ path: String) -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : ""
    }
}
