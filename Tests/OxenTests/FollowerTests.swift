import OnionCrypto
import Testing
import Wire

@testable import Oxen

private let network = Bytes32([UInt8](repeating: 7, count: 32))!

private func node(
    _ seed: UInt8, _ standing: OxendNode.Standing = .active, registered: UInt64 = 0
) -> OxendNode {
    OxendNode(
        node: NodeID(Bytes32([UInt8](repeating: seed, count: 32))!), serviceKey: "", standing: standing,
        operatorAddress: "L\(seed)", fee: 0, stake: 0, requirement: 0, contributions: [],
        registrationHeight: registered,
        stateHeight: 0, unlockHeight: 0, creditBlocks: 0, decommissions: 0, lastProof: 0)
}

private func hash(_ height: UInt64, _ branch: UInt8 = 0) -> String { hexadecimal(block(height, branch).array) }

private func block(_ height: UInt64, _ branch: UInt8 = 0) -> Bytes32 {
    Blake2b.digest([UInt8]("\(height)-\(branch)".utf8).rawSpan)
}

extension ChainFollower {
    /// Takes the needed hashes from a branch of the chain.
    fileprivate mutating func takeWantedHashes(branch: UInt8 = 0) throws {
        try takeHashes(wantedHashes.map { ($0, hash($0, branch)) })
    }
}

private func list(
    _ height: UInt64, _ nodes: [OxendNode] = [node(1), node(2)], branch: UInt8 = 0, target: UInt64 = 0
) -> OxendList {
    OxendList(height: height, targetHeight: target, blockHash: hash(height, branch), nodes: nodes)
}

/// Follows a chain of honest answers up to `height`.
private func follow(_ follower: inout ChainFollower, _ heights: ClosedRange<UInt64>) throws {
    for height in heights {
        try follower.take(list(height))
        try follower.takeWantedHashes()
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
        try follower.takeWantedHashes()
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

    @Test("s11: a key that two service nodes name is left out, and keeps nobody from making a snapshot")
    func aKeyOfTwoNodes() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        let nodes = (1...10).map { node($0) } + [node(11), node(11, .decommissioned)] + [node(10, .open)]
        for height in UInt64(98)...102 { try follower.take(list(height, nodes)) }
        try follower.takeWantedHashes()
        let wanted = try #require(follower.wantedHeader)
        try follower.takeHeader(height: wanted, hash: hash(wanted), time: UnixTime(seconds: 9))
        let made = try #require(follower.snapshot)
        #expect(made.height == 100 && Set(made.entries.map(\.node)) == Set((1...10).map { node($0).node }))
    }

    @Test func aHeaderThatDidNotComeIsWantedAgain() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        try follower.take(list(10))
        for height in UInt64(12)...19 {
            try follower.take(list(height))
            try follower.takeWantedHashes()
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
        try follower.takeWantedHashes()
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
        #expect(throws: OxendError.syncing(height: 120, target: .max)) { try follower.take(list(120, target: .max)) }
        #expect(follower.newest == newest && follower.snapshot == snapshot)
        // A daemon one block behind its target counts as synced.
        try follower.take(list(113, target: 114))
    }

    @Test func keysOfTwoNodesAloneAreNoSnapshot() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        try follower.take(list(10, [node(1), node(1)]))
        try follower.take(list(12))
        try follower.takeWantedHashes()
        #expect(throws: OxendError.notASnapshot) {
            try follower.takeHeader(height: 10, hash: hash(10), time: UnixTime(seconds: 9))
        }
        #expect(follower.snapshot == nil)
    }

    // MARK: Placements

    @Test func aNodeIsPlacedByTheBlockAfterItsRegistration() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        let nodes = [node(1, registered: 3), node(2, .decommissioned, registered: 99), node(3, .open, registered: 50)]
        try follower.take(list(100, nodes))
        // Each settled height is requested once, for nodes that the snapshot will have.
        #expect(follower.wantedHashes == [4])
        try follower.take(list(102, nodes))
        #expect(follower.wantedHeader == nil && follower.wantedHashes == [4, 100])
        try follower.takeHashes([(4, hash(4)), (7, hash(7)), (100, hash(100))])
        #expect(follower.wantedHeader == 100 && follower.wantedHashes.isEmpty)
        try follower.takeHeader(height: 100, hash: hash(100), time: UnixTime(seconds: 9))
        let entries = try #require(follower.snapshot).entries
        #expect(
            entries.map(\.placement) == [
                nodes[0].node.placement(block: block(4), network: network),
                nodes[1].node.placement(block: block(100), network: network),
            ])
        // The next snapshot requests the hashes anew.
        try follower.take(list(103, nodes))
        #expect(follower.wantedHashes == [4, 100])
        try follower.takeWantedHashes()
        for height in UInt64(104)...109 {
            try follower.take(list(height, nodes))
            #expect(follower.wantedHashes.isEmpty)
        }
    }

    @Test func withoutTheHashesThereIsNoSnapshot() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        for height in UInt64(10)...13 {
            try follower.take(list(height))
            #expect(follower.wantedHeader == nil)
        }
        try follower.takeHeader(height: 10, hash: hash(10), time: UnixTime(seconds: 9))
        #expect(follower.snapshot == nil)
        for text in ["", "12", String(repeating: "g", count: 64)] {
            #expect(throws: OxendError.malformed("no block hash")) { try follower.takeHashes([(1, text)]) }
        }
        try follower.takeHashes([(2, hash(2))])
        #expect(follower.wantedHashes == [1])
        try follower.takeWantedHashes()
        #expect(follower.wantedHeader == 10)
    }

    @Test func sw1ANodeOfTheListsOwnBlockIsInTheNextSnapshot() throws {
        // The block that places the node could still be replaced.
        var follower = ChainFollower(network: network, epochBlocks: 10)
        let nodes = [node(1), node(2, registered: 100), node(3, registered: .max)]
        for height in UInt64(100)...112 {
            try follower.take(list(height, nodes))
            try follower.takeWantedHashes()
            guard let wanted = follower.wantedHeader else { continue }
            try follower.takeHeader(height: wanted, hash: hash(wanted), time: UnixTime(seconds: 9))
            #expect(follower.snapshot?.entries.count == (height == 102 ? 1 : 2))
        }
        #expect(follower.snapshot?.height == 110)
    }

    @Test func theHashesThatAreRequestedAreBounded() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        let nodes = (0..<200 as Range<UInt8>).flatMap { seed in
            [node(seed, registered: UInt64(seed) * 2), node(seed, registered: UInt64(seed) * 2 + 1)]
        }
        try follower.take(list(1_001, nodes))
        #expect(follower.wantedHashes == Array(1...256))
        try follower.takeWantedHashes()
        #expect(follower.wantedHashes == Array(257...400))
        try follower.takeWantedHashes()
        #expect(follower.wantedHashes.isEmpty)
        // Hashes that no list needs any more are forgotten.
        try follower.take(list(1_002, [node(1)]))
        try follower.take(list(1_003, nodes))
        #expect(follower.wantedHashes.count == 256 && !follower.wantedHashes.contains(1))
    }

    @Test func aChainThatWentBackIsAskedAgain() throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        let nodes = [node(1), node(2, registered: 100)]
        for height in UInt64(101)...105 { try follower.take(list(height, nodes)) }
        try follower.takeWantedHashes()
        // A daemon that has dropped blocks may report at the same time that it is behind.
        #expect(throws: OxendError.wentBack(from: 105, to: 102)) {
            try follower.take(list(102, nodes, branch: 1, target: 500))
        }
        for height in UInt64(105)...110 { try follower.take(list(height, nodes, branch: 1)) }
        #expect(follower.wantedHashes == [1, 101])
        try follower.takeWantedHashes(branch: 1)
        try follower.take(list(112, nodes, branch: 1))
        try follower.takeHeader(height: 110, hash: hash(110, 1), time: UnixTime(seconds: 9))
        let entry = try #require(follower.snapshot?.entry(of: nodes[1].node))
        #expect(entry.placement == nodes[1].node.placement(block: block(101, 1), network: network))
    }

    /// Hashes of blocks that were replaced unnoticed spoil one snapshot of this node at most, however long ago they
    /// were requested.
    @Test(arguments: [UInt64(110), 120]) func aWrongHashDoesNotStay(_ first: UInt64) throws {
        var follower = ChainFollower(network: network, epochBlocks: 10)
        let nodes = [node(1), node(2, registered: 101)]
        try follower.take(list(104, nodes))
        try follower.takeWantedHashes(branch: 1)
        for height in UInt64(105)...132 {
            // A missed list makes no snapshot.
            if height % 10 == 0, height < first { continue }
            try follower.take(list(height, nodes))
            try follower.takeWantedHashes()
            guard let wanted = follower.wantedHeader else { continue }
            try follower.takeHeader(height: wanted, hash: hash(wanted), time: UnixTime(seconds: 9))
        }
        #expect(follower.snapshot?.height == 130)
        let right = nodes[1].node.placement(block: block(102), network: network)
        #expect(follower.snapshot?.entry(of: nodes[1].node)?.placement == right)
    }

    @Test func headersOfSeveralBlocksAreReadAsTheDaemonWritesThem() throws {
        let call = OxendCall(method: "get_block_header_by_height", params: HeadersParameters(heights: [4, 9]))
        #expect(
            String(decoding: call.bytes, as: UTF8.self)
                == #"{"id":"0","jsonrpc":"2.0","method":"get_block_header_by_height","params":{"heights":[4,9]}}"#)
        let answer =
            #"{"result":{"status":"OK","block_headers":[{"height":4,"hash":"ab","timestamp":7,"reward":1},"#
            + #"{"height":9,"hash":"cd","timestamp":8}]}}"#
        let headers = try oxendResult(HeadersResult.self, in: Array(answer.utf8)).headers
        #expect(headers.map(\.height) == [4, 9] && headers.map(\.hash) == ["ab", "cd"])
        for text in [#"{"result":{"status":"OK"}}"#, #"{"result":{"status":"OK","block_headers":[{"height":-1}]}}"#] {
            #expect(throws: OxendError.self) { try oxendResult(HeadersResult.self, in: Array(text.utf8)) }
        }
    }
}

@Test func aListIsShownByStanding() {
    let list = list(7, [node(2), node(1, .decommissioned), node(3, .open), node(4)])
    #expect(list.text == "height          7\nactive          2\ndecommissioned  1\nnot funded      1")
    let report = OxendNodesReport(list)
    #expect(report.height == 7 && report.nodes.map(\.state).count { $0 == "active" } == 2)
    #expect(report.nodes.map(\.node) == (1...4).map { node($0).node.description })
}
