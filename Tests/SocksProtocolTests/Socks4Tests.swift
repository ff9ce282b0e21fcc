import SocksProtocol
import Testing
import Wire

private let granted: [UInt8] = [0, 90, 0, 0, 0, 0, 0, 0]
private let rejected: [UInt8] = [0, 91, 0, 0, 0, 0, 0, 0]

private func socks4(
    command: UInt8 = 1, port: UInt16 = 80, address: [UInt8] = [1, 2, 3, 4], user: [UInt8] = [], name: [UInt8]? = nil
) -> [UInt8] {
    [4, command, UInt8(port >> 8), UInt8(port & 0xff)] + address + user + [0] + (name.map { $0 + [0] } ?? [])
}

private func named(_ name: String, user: [UInt8] = []) -> [UInt8] {
    socks4(address: [0, 0, 0, 1], user: user, name: Array(name.utf8))
}

private func user(_ bytes: [UInt8]) -> SocksCredentials { SocksCredentials(user: bytes, password: []) }

private let long255 = Array(repeating: UInt8(0xff), count: 255)

private let cases: [Case] = [
    Case("an address", socks4(), sent: [], request: request(.connect, "1.2.3.4", 80, via: .socks4)),
    Case(
        "port in network order", socks4(port: 0x1234), sent: [],
        request: request(.connect, "1.2.3.4", 0x1234, via: .socks4)),
    Case(
        "a user id", socks4(user: [0x75, 0xc3]), sent: [],
        request: request(.connect, "1.2.3.4", 80, user([0x75, 0xc3]), via: .socks4)),
    Case(
        "the longest user id", socks4(user: long255), sent: [],
        request: request(.connect, "1.2.3.4", 80, user(long255), via: .socks4)),
    Case("a user id of 256 bytes", socks4(user: long255 + [1]), error: .userTooLong, answer: rejected),
    Case("a user id without end", socks4().dropLast() + long255, sent: []),
    Case("a name", named("A.Example."), sent: [], request: request(.connect, "a.example", 80, via: .socks4)),
    Case(
        "a name and a user id", named("a.example", user: [0x75]), sent: [],
        request: request(.connect, "a.example", 80, user([0x75]), via: .socks4)),
    Case("a name that is IPv4", named("1.2.3.4"), sent: [], request: request(.connect, "1.2.3.4", 80, via: .socks4)),
    Case(
        "a name that is IPv6", named("2001:db8::1"), sent: [],
        request: request(.connect, "2001:db8::1", 80, via: .socks4)),
    Case(
        "0.0.0.255 is a name's", socks4(address: [0, 0, 0, 255], name: [0x61]), sent: [],
        request: request(.connect, "a", 80, via: .socks4)),
    Case(
        "0.0.0.0 is an address", socks4(address: [0, 0, 0, 0]), sent: [],
        request: request(.connect, "0.0.0.0", 80, via: .socks4)),
    Case(
        "0.0.1.0 is an address", socks4(address: [0, 0, 1, 0]), sent: [],
        request: request(.connect, "0.0.1.0", 80, via: .socks4)),
    Case("an empty name", named(""), error: .badName, answer: rejected),
    Case("a name that is no name", named("a b"), error: .badName, answer: rejected),
    Case("a short form of IPv4", named("127.1"), error: .badName, answer: rejected),
    Case("a name of 256 bytes", socks4(address: [0, 0, 0, 1]) + long255 + [1], error: .badName, answer: rejected),
    Case("port 0", socks4(port: 0), error: .badPort, answer: rejected),
    Case("BIND", socks4(command: 2), sent: [], request: request(.bind, "1.2.3.4", 80, via: .socks4)),
    Case(
        "RESOLVE", socks4(command: 0xf0, port: 0, address: [0, 0, 0, 1], name: [0x61]), sent: [],
        request: request(.resolve, "a", 0, via: .socks4)),
    Case("RESOLVE_PTR", socks4(command: 0xf1), error: .unknownCommand(0xf1), answer: rejected),
    Case("command 0", socks4(command: 0), error: .unknownCommand(0), answer: rejected),
    Case("command 3", socks4(command: 3), error: .unknownCommand(3), answer: rejected),
    Case("command 255", socks4(command: 255), error: .unknownCommand(255), answer: rejected),
    Case("a version", [4], sent: []),
    Case("without the end of the user id", socks4().dropLast(), sent: []),
    Case("without the end of the name", named("a.example").dropLast(), sent: []),
    Case(
        "early data", socks4() + [1, 2, 3], sent: [], request: request(.connect, "1.2.3.4", 80, via: .socks4),
        early: [1, 2, 3]),
    Case(
        "early data behind a name", named("a.example") + Array(repeating: 7, count: 2_000), sent: [],
        request: request(.connect, "a.example", 80, via: .socks4), early: Array(repeating: 7, count: 2_000)),
]

@Suite("L7: what an app says in SOCKS4") struct Socks4Tests {
    @Test(arguments: cases) func everyConversation(_ row: Case) { check(row) }

    @Test(arguments: [UInt64(1), 2]) func arbitraryBytesInArbitraryPieces(seed: UInt64) {
        checkMutations(of: cases, seed: seed, rounds: 500) { UInt8($0 % 6) }
    }

    @Test func replies() {
        for reply in SocksReply.allCases {
            #expect(reply.encoded(via: .socks4) == (reply == .succeeded ? granted : rejected))
            #expect(reply.encoded(via: .socks5) == reply.encoded())
        }
    }
}
