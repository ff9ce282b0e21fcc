import Testing
import Wire

@testable import Oxen

private let network = Bytes32([UInt8](repeating: 7, count: 32))!

private func node(_ seed: UInt8, _ standing: OxendNode.Standing = .active) -> OxendNode {
    OxendNode(
        node: NodeID(Bytes32([UInt8](repeating: seed, count: 32))!), serviceKey: "", standing: standing,
        operatorAddress: "L\(seed)", fee: 0, stake: 0, requirement: 0, contributions: [], registrationHeight: 0,
        stateHeight: 0, unlockHeight: 0, creditBlocks: 0, decommissions: 0, lastProof: 0)
}

private func hash(_ height: UInt64, _ branch: UInt8 = 0) -> String { "\(height)-\(branch)" }

private func list(
    _ height: UInt64, _ nodes: [OxendNode] = [node(1), node(2)], branch: UInt8 = 0, target: UInt64 = 0
) -> OxendList {
    OxendList(height: height, targetHeight: target, blockHash: hash(height, branch), nodes: nodes)
}

/// Follows a chain of honest answers up to `height`.
private func follow(_ follower: inout ChainFollower, _ heights: ClosedRange<UInt64>) throws {
    for height in heights {
        try follower.take(list(height))
        if let wanted = follower.wantedHeader {
            try follower.takeHeader(height: wanted, hash: hash(wanted), time: UnixTime(seconds: 1_000 + wanted * 120))
        }
    }
}

struct FollowerTests {
    @Test func everyNodeMakesTheSameBytesWheneverItBegan() throws {
        var early = ChainFollower(network: network, epochBlocks: 30)
        var late = ChainFollower(network: network, epochBlocks: 30)
        try follow(&early, 901...965)
        try follow(&late, 958...970)
        let (a, b) = (try #require(early.snapshot), try #require(late.snapshot))
        #expect(a.encoded() == b.encoded())
        #expect(a.height == 960 && a.time == UnixTime(seconds: 1_000 + 960 * 120))
    }

    @Test func aSnapshotWaitsUntilItsBlockHasSettled() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        try follow(&follower, 98...101)
        #expect(follower.snapshot == nil && follower.wantedHeader == nil)
        try follower.take(list(102))
        #expect(follower.wantedHeader == 100)
    }

    @Test func whoMissedTheBlockMakesNoSnapshot() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        try follow(&follower, 98...99)
        try follow(&follower, 101...109)
        #expect(follower.snapshot == nil)
        try follow(&follower, 110...112)
        #expect(follower.snapshot?.height == 110)
    }

    @Test func aBlockThatWasReplacedMakesNoSnapshot() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        try follow(&follower, 99...101)
        try follower.take(list(102, branch: 1))
        #expect(throws: OxendError.replaced(height: 100)) {
            try follower.takeHeader(height: 100, hash: hash(100, 1), time: UnixTime(seconds: 1))
        }
        #expect(follower.snapshot == nil && follower.wantedHeader == nil)
        try follow(&follower, 103...112)
        #expect(follower.snapshot?.height == 110)
    }

    @Test func anotherBlockAtTheSameHeightTakesThePlaceOfTheFirst() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        try follower.take(list(100, [node(1)]))
        try follower.take(list(100, [node(1), node(3)], branch: 1))
        try follower.take(list(102))
        try follower.takeHeader(height: 100, hash: hash(100, 1), time: UnixTime(seconds: 9))
        #expect(follower.snapshot?.entries.count == 2)
    }

    @Test func withEpochsOfOneBlockEachBlockBecomesASnapshot() throws {
        var follower = ChainFollower(network: network, epochBlocks: 1)
        for height in UInt64(10)...30 {
            try follow(&follower, height...height)
            #expect(follower.snapshot?.height == (height < 12 ? nil : height - 2))
        }
    }

    @Test func aHeaderThatDidNotComeIsWantedAgain() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        try follower.take(list(10))
        for height in UInt64(12)...19 {
            try follower.take(list(height))
            #expect(follower.wantedHeader == 10)
        }
        try follower.take(list(20))
        #expect(follower.wantedHeader == 10)
        try follower.take(list(22))
        #expect(follower.wantedHeader == 20)
    }

    @Test func activeIsStakedDecommissionedSuspendedAndOpenAbsent() throws {
        var follower = ChainFollower(network: network, epochBlocks: 5)
        try follower.take(list(5, [node(3, .open), node(2, .decommissioned), node(1)]))
        try follower.take(list(7))
        try follower.takeHeader(height: 5, hash: hash(5), time: UnixTime(seconds: 9))
        let entries = try #require(follower.snapshot).entries
        #expect(entries.map(\.state) == [.staked, .suspended])
        #expect(entries.map(\.weight) == [1, 1])
    }

    @Test func whatIsNotBelievedChangesNothing() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        try follow(&follower, 99...112)
        let (newest, snapshot) = (follower.newest, follower.snapshot)
        #expect(throws: OxendError.wentBack(from: 112, to: 90)) { try follower.take(list(90)) }
        #expect(throws: OxendError.noActiveNode) { try follower.take(list(120, [])) }
        #expect(throws: OxendError.noActiveNode) { try follower.take(list(120, [node(1, .decommissioned)])) }
        #expect(throws: OxendError.syncing(height: 120, target: 500)) { try follower.take(list(120, target: 500)) }
        #expect(follower.newest == newest && follower.snapshot == snapshot)
        // A daemon that is one block behind what it hears of is as good as one at the top.
        try follower.take(list(113, target: 114))
    }

    @Test func aNodeTwiceIsNoSnapshot() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        try follower.take(list(10, [node(1), node(1)]))
        try follower.take(list(12))
        #expect(throws: OxendError.notASnapshot) {
            try follower.takeHeader(height: 10, hash: hash(10), time: UnixTime(seconds: 9))
        }
        #expect(follower.snapshot == nil)
    }
}

@Test func aListIsShownByStanding() {
    let list = list(7, [node(2), node(1, .decommissioned), node(3, .open), node(4)])
    #expect(list.text == "height          7\nactive          2\ndecommissioned  1\nnot funded      1")
    let report = OxendNodesReport(list)
    #expect(report.height == 7 && report.nodes.map(\.state).count { $0 == "active" } == 2)
    #expect(report.nodes.map(\.node) == (1...4).map { node($0).node.description })
}
