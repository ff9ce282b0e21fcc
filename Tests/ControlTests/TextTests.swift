import Testing

@testable import Control

private let first = "aaaaaaaabbbbbbbb.snode"
private let second = "ccccccccdddddddd.snode"

private let paths = PathsReport(paths: [
    .init(
        hops: [first, second], state: "ready", active: true, age: 65, guardRoundTrip: 1.25, roundTrip: 20,
        buildTime: 33.33, bytesIn: 1_500, bytesOut: 20),
    .init(
        hops: [second], state: "building", active: false, age: 1, guardRoundTrip: nil, roundTrip: nil, buildTime: nil,
        bytesIn: 0, bytesOut: 0),
])

private let streams = StreamsReport(keys: [
    .init(
        label: "kmrtb", streams: 12, sessions: 1, exit: second, age: 3, roundTrip: 41, bytesIn: 2_000_000, bytesOut: 999
    )
])

private func lines(_ text: String) -> [String] {
    text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
}

@Suite struct TextTests {
    @Test func pathsAreATable() {
        #expect(
            lines(paths.text()) == [
                "state     active  age   rtt to guard  to exit  built in  received  sent  hops, guard first",
                "ready     yes     65 s  1.3 ms        20.0 ms  33.3 ms   1.5 kB    20 B  aaaaaaaa…snode > cccccccc…snode",
                "building  no      1 s   -             -        -         0 B       0 B   cccccccc…snode",
            ])
        #expect(
            lines(paths.text(isNarrow: true)) == [
                "active    to exit  hops, guard first", "yes       20.0 ms  aaaaaaaa > cccccccc",
                "building  -        cccccccc",
            ])
        #expect(PathsReport(paths: []).text() == "no paths yet")
    }

    @Test func exitsAndStreamsAreTables() {
        let exits = ExitsReport(exits: [
            .init(node: first, country: "IS", up: true, buildTime: 12.34, sessions: 2),
            .init(node: second, country: nil, up: nil, buildTime: nil, sessions: 0),
        ])
        #expect(
            lines(exits.text) == [
                "exit                    country  works      build    sessions",
                "aaaaaaaabbbbbbbb.snode  IS       yes        12.3 ms  2",
                "ccccccccdddddddd.snode  -        not tried  -        0",
            ])
        #expect(ExitsReport(exits: []).text == "no usable exit is known")
        #expect(
            streams.lines == [
                "key    streams  exit            round trip  received  sent",
                "kmrtb  12       cccccccc…snode  41.0 ms     2.0 MB    999 B",
            ])
        #expect(StreamsReport(keys: []).lines == ["no app has open streams"])
    }

    @Test func aCheckEndsWithASummary() {
        let item = CheckReport.Item(name: "clock", verdict: "good", text: "right")
        #expect(lines(CheckReport(items: [item], done: true).text) == ["good  clock  right", "This node can serve."])
        #expect(CheckReport(items: [item], done: false).text.hasSuffix("This node cannot serve."))
    }

    @Test func aMaintenanceIsDescribed() {
        let report = OperationReport(operation: "", state: .applied, height: 9)
        #expect(
            report.maintenanceText(seconds: 7_200)
                == "done, in block 9: the node is out for 2 h 0 min, and is active again by itself; stop the relay when no "
                + "streams are left ('tunic status')")
        #expect(
            report.maintenanceText(seconds: 0)
                == "done, in block 9: the node is active, and is used again from the next epoch on")
    }
}

/// A node with a stake of 25,000.
private func node(_ state: String, _ change: (inout NodesReport.Node) -> Void = { _ in }) -> NodesReport.Node {
    var node = NodesReport.Node(
        id: first, state: state, operator: String(repeating: "0a", count: 32), stake: 25_000_000_000_000, fee: 1_250,
        uptime: 3_600, credit: 7_322)
    change(&node)
    return node
}

private func nodes(_ nodes: [NodesReport.Node], fullStake: UInt64 = 25_000_000_000_000) -> [String] {
    lines(NodesReport(height: 7, time: 0, fullStake: fullStake, pool: 1_500_000_000, nodes: nodes).text { _ in "look" })
}

@Suite struct LedgerTextTests {
    @Test func nodesOfALedgerHaveStakes() {
        var away = node("active")
        (away.lastTest, away.marks, away.capacity, away.leavesAt) = (30, 3, 1_250, 0)
        var failed = node("active")
        (failed.lastTest, failed.lastPass, failed.marks) = (30, 60, 1)
        var passed = node("active")
        (passed.lastTest, passed.lastPass, passed.marks) = (60, 30, 1)
        let state = "aaaaaaaabbbbbbbb.snode  active, leaves 1970-01-01 00:00 UTC  25000  12.50 %  60 min  2:02:02  "
        let active = "aaaaaaaabbbbbbbb.snode  active                               25000  12.50 %  60 min  2:02:02  "
        #expect(
            nodes([away, failed, passed]) == [
                "node                    state                                stake  fee      uptime  credit   "
                    + "last test         kB/s  operator",
                state + "30 s ago, dead    1250  0a0a0a0a0a0a0a0a", active + "30 s ago, failed  -     0a0a0a0a0a0a0a0a",
                active + "60 s ago          -     0a0a0a0a0a0a0a0a", "block 7, 3 nodes, pool 1.5 SESH",
            ])
    }

    @Test func testsOfStorageHaveAColumn() {
        var (losing, failed, kept) = (node("active"), node("active"), node("active"))
        (losing.lastStorageTest, losing.storageMarks) = (60, 3)
        (failed.lastStorageTest, failed.storageMarks) = (30, 1)
        (kept.lastStorageTest, kept.storageMarks) = (30, 0)
        let start = "aaaaaaaabbbbbbbb.snode  active  -          "
        #expect(
            nodes([losing, failed, kept, node("active")], fullStake: 0) == [
                "node                    state   last test  storage test           kB/s  operator",
                start + "60 s ago, loses items  -     0a0a0a0a0a0a0a0a",
                start + "30 s ago, failed       -     0a0a0a0a0a0a0a0a",
                start + "30 s ago               -     0a0a0a0a0a0a0a0a",
                start + "-                      -     0a0a0a0a0a0a0a0a", "height 7, 4 nodes",
            ])
    }

    @Test func nodesOfAListHaveNone() {
        #expect(
            nodes([node("active")], fullStake: 0) == [
                "node                    state   last test  kB/s  operator",
                "aaaaaaaabbbbbbbb.snode  active  -          -     0a0a0a0a0a0a0a0a", "height 7, 1 nodes",
            ])
    }

    @Test func oneNodeAloneIsExplainedWithARemedy() {
        let parts: [NodesReport.Part] = [.init(account: "ab", amount: 500_000_000)]
        let decommissioned = node("decommissioned") { ($0.deregistersAt, $0.contributions) = (60, parts) }
        let found = nodes([decommissioned])
        #expect(
            found[2]
                == "  others found that it did not serve; active again when it passes their tests, else deregistered at "
                + "1970-01-01 00:01 UTC and its stake locked; look")
        #expect(found[3...] == ["  ab  0.5", "block 7, 1 nodes, pool 1.5 SESH"])
        #expect(
            nodes([node("maintenance") { $0.maintenanceUntil = 60 }])[2]
                == "  in maintenance, at its own request, until 1970-01-01 00:01 UTC; then active again; look")
        #expect(
            nodes([node("deregistered") { ($0.lockedUntil, $0.grace) = (60, 3_600) }])[2]
                == "  deregistered: it was away for longer than its credit and the 60 min of grace after it; its stake is "
                + "locked until 1970-01-01 00:01 UTC, then free; it can be registered again with another stake; look")
        #expect(nodes([node("decommissioned"), node("active")]).count == 4)
    }

    @Test func anAccountIsATable() {
        var stake = AccountReport.Stake(node: first, state: "active", amount: 1_000_000_000)
        (stake.leavesAt, stake.deregistersAt) = (0, 60)
        let report = AccountReport(
            account: "ab", network: "", height: 0, balance: 2_500_000_000, rewards: 0, nonce: 0,
            operationFee: 10_000_000, stakes: [stake], locked: [.init(amount: 5_000_000_000, until: 120, node: second)])
        #expect(
            lines(report.text) == [
                "account  ab", "balance  2.5 SESH", "rewards  0 SESH",
                "fee      0.01 SESH for each operation except 'leave'",
                "stake    1 SESH in \(first) (active, leaves at 1970-01-01 00:00 UTC, locked at 1970-01-01 00:01 UTC "
                    + "unless it serves again)",
                "locked   5 SESH until 1970-01-01 00:02 UTC: \(second) was deregistered, because it was away for longer than "
                    + "its credit and grace",
            ])
    }
}

@Suite struct TopViewTests {
    private func status(_ role: StatusReport.Role) -> StatusReport {
        var report = StatusReport(role: role, version: "1")
        (report.uptime, report.ready) = (5, true)
        return report
    }

    private func view(_ status: StatusReport) -> TopView { TopView(status, paths: paths, streams: streams) }

    @Test func aClientHasItsPathsAndStreams() {
        let text = lines(view(status(.client)).text(isBold: false, size: nil))
        #expect(text[0] == "client 1  ready  running for 5 s")
        #expect(text[2...3] == ["", "paths"])
        #expect(text[4...6] == lines(paths.text())[...])
        #expect(Array(text.dropFirst(7)) == ["", "streams"] + streams.lines)
        #expect(view(status(.client)).text(isBold: true, size: nil).contains("\u{1b}[1mpaths\u{1b}[0m"))
    }

    @Test func aRelayHasNone() {
        let relay = lines(view(status(.relay)).text(isBold: false, size: nil))
        #expect(relay.count == 2 && relay[0].hasPrefix("relay 1"))
        var both = status(.relay)
        both.others = [status(.client)]
        #expect(view(both).text(isBold: false, size: nil).contains("\nstreams\n"))
    }

    /// At any size of the terminal, no line is too long and no line is below its end.
    @Test(arguments: [1, 2, 5, 8, 12, 40], [1, 10, 60, 99, 200])
    func itFitsTheTerminal(_ height: Int, _ width: Int) {
        let text = view(status(.client)).text(isBold: true, size: .init(lines: height, columns: width))
        let shown = lines(text)
        #expect(shown.count <= height)
        for line in shown {
            let visible = line.replacing(/\u{1b}\[[0-9]*m/, with: "")
            #expect(visible.count <= width, "\(line)")
        }
    }

    @Test func whatDoesNotFitIsCounted() {
        var many = paths
        many.paths = Array(repeating: paths.paths[0], count: 50)
        let view = TopView(status(.client), paths: many, streams: streams)
        let shown = lines(view.text(isBold: false, size: .init(lines: 20, columns: 200)))
        #expect(shown.contains("… 40 more"))
        #expect(shown.count == 20 && shown.last == streams.lines.last)
    }

    @Test func aProcessThatIsAwayHasAReason() {
        #expect(
            lines(TopView.waiting("no such socket", size: .init(lines: 3, columns: 12))) == [
                "the process…\u{1b}[0m", "no such soc…\u{1b}[0m",
            ])
        #expect(TopView.waiting("gone", size: nil).hasSuffix("\ngone"))
    }
}
