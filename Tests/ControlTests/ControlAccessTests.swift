import EventLoop
import Testing

@testable import Control

#if canImport(Glibc)
    import Glibc
#endif

@Suite("U5: members of a group may look at a process of another user, and change nothing") struct ControlAccessTests {
    private let group = ControlGroup(id: 4_711, name: "tunic-watch")

    @Test(
        arguments: [
            (0, 1_000, ControlRights.all), (1_000, 1_000, .all), (1_001, 1_000, .look), (65_534, 1_000, .look),
            // In a user namespace every foreign user has this number.
            (65_534, 65_534, .look), (nil, 1_000, .look), (0, 65_534, .all),
        ] as [(UInt32?, UInt32, ControlRights)])
    func rootAndTheOwnerMayDoAll(_ user: UInt32?, _ own: UInt32, _ rights: ControlRights) {
        #expect(ControlRights.of(user: user, own: own, hasGroup: true) { true } == rights)
        #expect(ControlRights.of(user: user, own: own, hasGroup: true) { false } == (rights == .all ? .all : .none))
    }

    @Test func withoutAGroupTheOwnerMayBeNobody() {
        #expect(ControlRights.of(user: 65_534, own: 65_534, hasGroup: false) { false } == .all)
    }

    @Test func aLookIsWhatShowsNoSecretAndChangesNothing() {
        let looks: Set<ControlCommand> = [.status, .paths, .exits, .streams, .metrics, .nodes, .account, .operation]
        for command in ControlCommand.allCases {
            #expect(ControlRights.all.refusal(of: command, group: group) == nil)
            #expect((ControlRights.look.refusal(of: command, group: group) == nil) == looks.contains(command))
            #expect(ControlRights.none.refusal(of: command, group: group) != nil)
        }
    }

    @Test func whatIsRefusedDoesNotReachTheProvider() {
        let line = Array("{\"command\":\"newpath\"}".utf8)
        var asked = 0
        let answer = ControlLine.answered(
            to: line,
            from: { _, _ in
                asked += 1
                return .refusal("")
            }, .look, group)
        let refusal = ControlLine.decode(ControlRefusal.self, from: answer.dropLast())
        #expect(asked == 0 && refusal?.denied == true && refusal?.error.contains("tunic-watch") == true)
    }

    @Test func theSocketIsTheGroupsToo() throws {
        let loop = try Loop()
        defer { loop.close() }
        let path = "/tmp/tunic-control-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).sock"
        let group = ControlGroup(id: getegid(), name: "own")
        let mask = umask(0o077)
        defer { umask(mask) }
        let server = try ControlServer(on: loop, path: path, group: group) { _, _ in .refusal("answered") }
        var status = stat()
        #expect(unsafe lstat(path, &status) == 0 && status.st_mode & 0o777 == 0o660 && status.st_gid == group.id)
        var result: Result<StatusReport, ControlError>?
        ControlClient.ask(.reload, at: path, on: loop, as: StatusReport.self) { result = $0 }
        while result == nil { loop.runOnce(waiting: true) }
        #expect(result == .failure(.refused("answered")))
        server.close()
    }
}
