import Testing

@testable import EventLoop

@Suite struct SocketUsersTests {
    private static let all = "         0          0 4294967295\n"

    @Test(
        "L5: the number of all users outside of a user namespace is that of no user",
        arguments: [
            "", "0 0 1\n", "0 1000 1\n1 100000 65536\n", "0 0 4294967294\n", "0 0 65536\n65536 65536 4294901759\n",
        ])
    func strangers(map: String) {
        for (overflow, number) in [("65534\n", 65_534 as UInt32), ("", 65_534), ("x", 65_534), ("99\n", 99)] {
            let users = SocketUsers(map: map, overflow: overflow) { _ in true }
            #expect(users.user(number) == nil && !users.tellsAllApart && users.namespaceIsKnown == !map.isEmpty)
            #expect([0, 98, 1_000, 65_533].allSatisfy { users.user($0) == $0 })
        }
    }

    @Test("L5: outside of all user namespaces each number is a user's")
    func noStrangers() {
        let users = SocketUsers(map: Self.all, overflow: "65534\n") { _ in true }
        #expect(users.tellsAllApart)
        #expect([0, 1_000, 65_534].allSatisfy { users.user($0) == $0 })
    }

    @Test("L5: a kernel that does not tell is asked once")
    func silence() {
        var asked = 0
        let users = SocketUsers(map: Self.all, overflow: "65534\n") {
            asked += 1
            return $0 == .udp
        }
        #expect(asked == 2 && users.tells(.udp) && !users.tells(.tcp))
        func ask(_ transport: SocketAddress.Transport) -> UInt32? {
            users.user(transport) {
                asked += 1
                return 7
            }
        }
        #expect(ask(.tcp) == nil && asked == 2)
        #expect(ask(.udp) == 7 && asked == 3)
    }
}
