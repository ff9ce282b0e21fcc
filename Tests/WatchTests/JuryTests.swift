import OnionCrypto
import Registry
import Testing
import Wire

@testable import Watch

/// Messages to a jury from other nodes.
struct JuryTests {
    private func vote(_ ballot: Ballot, by number: Int, in world: World) -> BallotVotes {
        let judges = world.state.judges(of: ballot.node, height: ballot.height)
        let block = world.state.quorums.last { $0.height == ballot.height }!.block
        let message = RegistryOperation.ballot(
            ballot.verdict, on: ballot.node, height: ballot.height, block: block, network: network)
        let place = UInt8(judges.firstIndex(of: world.ids[number])!)
        return BallotVotes(
            ballot: ballot, votes: [.init(place: place, signature: key(number).sign(message.rawSpan))])
    }

    @Test func votesAreTakenFromMembersAlone() throws {
        let world = try World(11, seed: 1)
        world.run(until: 4)
        let ballot = Ballot(verdict: .decommission, node: world.ids[9], height: world.state.height)
        var jury = world.juries[0]
        let good = vote(ballot, by: 3, in: world)
        let first = jury.take(good, from: world.ids[3], now: instant(4))
        let taken = try #require(first)
        #expect(taken.answer.votes.count == 1 && taken.isAsked && taken.actions.isEmpty)
        // The signature of another node at the same place.
        let other = vote(ballot, by: 4, in: world).votes[0]
        let forged = BallotVotes(ballot: ballot, votes: [.init(place: other.place, signature: good.votes[0].signature)])
        #expect(isRefused(&jury, forged, from: world.ids[4]))
        // This node's own vote, from before a restart, is passed over; the others that came with it count.
        let fifth = vote(ballot, by: 5, in: world)
        let both = BallotVotes(
            ballot: ballot, votes: (vote(ballot, by: 0, in: world).votes + fifth.votes).sorted { $0.place < $1.place })
        let answer = jury.take(both, from: world.ids[5], now: instant(4))
        let second = try #require(answer)
        #expect(second.answer.votes == (good.votes + fifth.votes).sorted { $0.place < $1.place })
        #expect(second.isAsked && second.actions.isEmpty)
        // A node that is not registered.
        #expect(isRefused(&jury, good, from: NodeID(Bytes32())))
        // A height without a quorum, a verdict against the standing, and a judge that judges itself.
        for wrong in [
            Ballot(verdict: .decommission, node: world.ids[9], height: 99),
            Ballot(verdict: .recommission, node: world.ids[9], height: world.state.height),
            Ballot(verdict: .decommission, node: world.ids[0], height: world.state.height),
        ] {
            let isTaken = jury.asked(wrong, from: world.ids[3], now: instant(4))
            #expect(!isTaken)
            #expect(isRefused(&jury, BallotVotes(ballot: wrong, votes: []), from: world.ids[3]))
        }
    }

    private func isRefused(_ jury: inout Jury, _ votes: BallotVotes, from sender: NodeID) -> Bool {
        jury.take(votes, from: sender, now: instant(4)) == nil
    }

    @Test("s09: a sender's first wrong vote is its last that is verified at a height") func s09ForgedVotes() throws {
        let world = try World(11, seed: 1)
        world.run(until: 4)
        var jury = world.juries[0]
        let ballot = Ballot(verdict: .decommission, node: world.ids[9], height: world.state.height)
        let (liar, honest) = (world.ids[3], world.ids[5])
        var verified = 0
        func take(_ votes: BallotVotes, from sender: NodeID) -> Bool {
            jury.take(votes, from: sender, now: instant(4)) { signature, message, judge in
                verified += 1
                return SigningKey.verify(signature.rawSpan, of: message.rawSpan, by: judge.key)
            } != nil
        }
        let good = vote(ballot, by: 4, in: world)
        // Its own signature at other members' places, on ballots of several nodes.
        for _ in 0..<1_000 {
            for member in [4, 5, 6] {
                let place = vote(ballot, by: member, in: world).votes[0].place
                let signature = vote(ballot, by: 3, in: world).votes[0].signature
                let isTaken = take(
                    BallotVotes(ballot: ballot, votes: [.init(place: place, signature: signature)]), from: liar)
                #expect(!isTaken)
            }
        }
        #expect(verified == 1)
        // Its right votes are refused too, and others are heard.
        let isLiarHeard = take(good, from: liar)
        let isHonestHeard = take(good, from: honest)
        #expect(!isLiarHeard && isHonestHeard && verified == 2)
        // The same state once more changes nothing; with the next height it is heard again.
        jury.follow(world.state, now: instant(4))
        let isHeardEarly = take(vote(ballot, by: 6, in: world), from: liar)
        #expect(!isHeardEarly && verified == 2)
        var seconds = 4.0
        repeat {
            seconds += 2
            world.run(until: seconds)
        } while ![0, 6].allSatisfy {
            world.state.isJudge(world.ids[$0], of: world.ids[9], height: world.state.height)
        }
        jury.follow(world.state, now: instant(seconds))
        let later = Ballot(verdict: .decommission, node: world.ids[9], height: world.state.height)
        let isHeardLater = take(vote(later, by: 6, in: world), from: liar)
        #expect(isHeardLater && verified == 3)
    }

    @Test func othersVotesAloneAreHandedInByNobodyWhoDidNotVote() throws {
        let world = try World(11, seed: 1)
        world.run(until: 4)
        let ballot = Ballot(verdict: .decommission, node: world.ids[9], height: world.state.height)
        var jury = world.juries[0]
        for number in 1..<9 {
            let taken = jury.take(
                vote(ballot, by: number, in: world), from: world.ids[number], now: instant(4))
            #expect(taken?.actions.isEmpty == true)
        }
        #expect(jury.submitted == 0)
    }

    @Test("S2: a node that is cut off from most accuses few, and nobody when it is back", arguments: 1...4)
    func s2WhatACutOffNodeFound(_ seed: UInt64) throws {
        let world = try World(31, seed: 1)
        world.run(until: 4)
        var jury = Jury(node: world.ids[30], patience: .seconds(4), silence: .seconds(3_600))
        jury.follow(world.state, now: instant(0))
        var tester = Tester(timing: .init(epochSeconds: 60), seed: seed, now: instant(0))
        tester.follow(Array(world.ids.prefix(30)))
        let near = Set(world.ids.prefix(10))
        var accused: [Bool: Set<NodeID>] = [:]
        for second in 0..<900 {
            let now = instant(Double(second))
            let isCutOff = second >= 300 && second < 600
            while let node = tester.next(now) {
                let isReached = !isCutOff || near.contains(node)
                tester.finished(
                    node, isReached ? .passed(capacity: nil) : .failed, at: .first(mayHide: false), now: now)
                for case .ask(let ballot, _) in jury.consider(tester, now: now) {
                    accused[isCutOff, default: []].insert(ballot.node)
                }
            }
        }
        #expect(accused[false] == nil)
        #expect(accused[true, default: []].count <= 4)
    }

    @Test("S2: a node that hears of no block accuses nobody, and afterwards only what it has found again")
    func s2WithoutBlocks() throws {
        let world = try World(5, seed: 1)
        world.run(until: 4)
        let node = world.ids[3]
        var jury = Jury(node: world.ids[0], patience: .seconds(4), silence: .seconds(20))
        jury.follow(world.state, now: instant(0))
        var tester = Tester(timing: .init(epochSeconds: 30), seed: 1, now: instant(0))
        tester.follow(Array(world.ids.dropFirst()))
        /// Tests every second, with the node dead from second 15 on; returns the seconds in which it was accused.
        func accusations(_ seconds: Range<Int>) -> [Int] {
            seconds.filter { second in
                let now = instant(Double(second))
                while let next = tester.next(now) {
                    let isDead = next == node && second >= 15
                    tester.finished(
                        next, isDead ? .failed : .passed(capacity: nil), at: .first(mayHide: false), now: now)
                }
                return jury.consider(tester, now: now).contains {
                    if case .ask(let ballot, _) = $0 { ballot.node == node } else { false }
                }
            }
        }
        #expect(accusations(0..<200).isEmpty)
        #expect(tester.isDead(node, now: instant(199)))
        world.run(until: 6)
        jury.follow(world.state, now: instant(200))
        let accused = accusations(200..<220)
        #expect(!accused.isEmpty && accused[0] > 200)
        // The same block again does not count.
        jury.follow(world.state, now: instant(230))
        #expect(accusations(230..<240).isEmpty)
    }

    @Test("S2: votes that were enough are not handed in once the node was seen to serve")
    func s2VotesOfYesterday() throws {
        let world = try World(5, seed: 1)
        world.run(until: 4)
        let (node, height) = (world.ids[3], world.state.height)
        var jury = Jury(node: world.ids[0], patience: .seconds(4), silence: .seconds(3_600))
        jury.follow(world.state, now: instant(0))
        var tester = Tester(timing: .init(epochSeconds: 30), seed: 1, now: instant(0))
        tester.follow(Array(world.ids.dropFirst()))
        /// Tests every second, with all other nodes well; returns how often the verdict was handed in and spread.
        func test(_ outcome: TestOutcome, _ seconds: Range<Int>) -> (submitted: Int, spread: Int) {
            var told = (submitted: 0, spread: 0)
            for second in seconds {
                let now = instant(Double(second))
                while let next = tester.next(now) {
                    let isNode = next == node
                    tester.finished(
                        next, isNode ? outcome : .passed(capacity: nil), at: .first(mayHide: false), now: now)
                }
                for action in jury.consider(tester, now: now) {
                    switch action {
                    case .vote(let ballot):
                        _ = jury.voted(ballot, signature: [UInt8](repeating: 0, count: 64), now: now)
                    case .submit: told.submitted += 1
                    case .spread: told.spread += 1
                    case .ask: break
                    }
                }
            }
            return told
        }
        #expect(test(.failed, 4..<60).submitted == 0)
        let ballot = Ballot(verdict: .decommission, node: node, height: height)
        for number in 1...2 {
            _ = jury.take(vote(ballot, by: number, in: world), from: world.ids[number], now: instant(60))
        }
        // As long as the registry refuses the verdict, it is handed in again.
        #expect(test(.failed, 60..<120).submitted > 3)
        _ = test(.passed(capacity: nil), 120..<140)
        #expect(test(.passed(capacity: nil), 140..<200) == (0, 0))
        #expect(test(.failed, 200..<260).submitted > 3)
    }

    @Test("S2: what was found while the floor held verdicts back is found again first")
    func s2AboveTheFloorAgain() throws {
        let world = try World(5, seed: 1)
        world.reaches = { a, b, time in !((a == 4 || b == 4) && time >= 20 && time < 80) }
        world.run(until: 75)
        let low = world.state
        #expect(world.standing(4) == .decommissioned)
        world.run(until: 130)
        #expect(world.standing(4) == .active)
        let node = world.ids[3]
        var jury = Jury(node: world.ids[0], patience: .seconds(1), silence: .seconds(3_600))
        jury.follow(low, now: instant(0))
        var tester = Tester(timing: .init(epochSeconds: 30), seed: 1, now: instant(0))
        tester.follow(Array(world.ids.dropFirst()))
        /// Makes the tests that are due; the node fails them, and all others pass.
        func test(_ now: Instant) {
            while let next = tester.next(now) {
                tester.finished(
                    next, next == node ? .failed : .passed(capacity: nil), at: .first(mayHide: false), now: now)
            }
        }
        /// Whether the node is accused.
        func isAccused(_ now: Instant) -> Bool {
            jury.consider(tester, now: now).contains {
                if case .ask(let ballot, _) = $0 { ballot.node == node } else { false }
            }
        }
        for second in 75..<130 {
            test(instant(Double(second)))
            let isAtTheFloor = isAccused(instant(Double(second)))
            #expect(!isAtTheFloor)
        }
        #expect(tester.isDead(node, now: instant(130)))
        jury.follow(world.state, now: instant(0))
        let isOldNews = isAccused(instant(130))
        #expect(!isOldNews)
        test(instant(140))
        let isFoundAgain = isAccused(instant(140))
        #expect(isFoundAgain)
    }

    /// All ballots about other nodes for which node 0 can be asked, the oldest first.
    private func ballots(in world: World) -> [Ballot] {
        (2...world.state.height).flatMap { height in
            world.ids.dropFirst().map { Ballot(verdict: .decommission, node: $0, height: height) }
        }
    }

    @Test func s09ASenderHasItsShareAndNoMore() throws {
        let world = try World(11, seed: 1) { $0.voteLifetime = 600 }
        world.run(until: 260)
        var jury = world.juries[0]
        var opened = 0
        for ballot in ballots(in: world).reversed() where jury.asked(ballot, from: world.ids[1], now: instant(260)) {
            opened += 1
        }
        #expect(opened == Jury.ballotsPerSender && jury.counts.others == opened)
        // A ballot of a later height replaces one of an earlier height.
        for ballot in ballots(in: world) { _ = jury.asked(ballot, from: world.ids[2], now: instant(260)) }
        #expect(jury.counts.others == 2 * Jury.ballotsPerSender)
        // Votes of other nodes have the same share.
        for ballot in ballots(in: world).prefix(60) {
            _ = jury.take(BallotVotes(ballot: ballot, votes: []), from: world.ids[3], now: instant(260))
        }
        #expect(jury.counts.others == 3 * Jury.ballotsPerSender)
    }

    @Test func s09WhoHoldsMostGivesWayAndTheTableIsBounded() throws {
        let world = try World(11, seed: 1) { $0.voteLifetime = 600 }
        world.run(until: 400)
        var jury = world.juries[0]
        let senders = (0..<40).map { NodeID(key(500 + $0).publicKey) }
        let ballots = ballots(in: world)
        for (number, sender) in senders.enumerated() {
            for ballot in ballots[(number * 20)..<(number * 20 + 20)] {
                _ = jury.asked(ballot, from: sender, now: instant(400))
            }
        }
        #expect(jury.counts.others == Jury.ballotLimit && jury.counts.own == 0)
        let late = jury.asked(ballots[900], from: NodeID(key(999).publicKey), now: instant(400))
        #expect(late && jury.counts.others == Jury.ballotLimit)
    }

    @Test("s09: ballots of one node or many leave another node's a place", arguments: [1, 20, 250])
    func s09ANewcomersBallotIsTaken(senders: Int) throws {
        let world = try World(11, seed: 1) { $0.voteLifetime = 600 }
        world.run(until: 400)
        var jury = world.juries[0]
        let ballots = ballots(in: world)
        let each = min(Jury.ballotsPerSender, ballots.count / (senders + 1))
        for number in 0..<senders {
            let sender = NodeID(key(500 + number).publicKey)
            for place in 0..<each { _ = jury.asked(ballots[number * each + place], from: sender, now: instant(400)) }
        }
        #expect(jury.counts.others == min(Jury.ballotLimit, senders * each))
        let isTaken = jury.asked(ballots[senders * each], from: NodeID(key(9_999).publicKey), now: instant(400))
        #expect(isTaken)
    }

    @Test func s09WithoutVotesABallotOfAnotherGivesWay() throws {
        let world = try World(11, seed: 1)
        world.run(until: 4)
        var jury = world.juries[0]
        let height = world.state.height
        let (voted, bare) = (
            Ballot(verdict: .decommission, node: world.ids[9], height: height),
            Ballot(verdict: .decommission, node: world.ids[8], height: height)
        )
        _ = jury.take(vote(voted, by: 3, in: world), from: world.ids[3], now: instant(4))
        _ = jury.asked(bare, from: world.ids[3], now: instant(4))
        #expect(jury.counts.others == 2)
        world.run(until: 6)
        jury.follow(world.state, now: instant(0))
        #expect(jury.counts.others == 2)
        world.run(until: 8)
        jury.follow(world.state, now: instant(0))
        #expect(jury.counts.others == 1)
    }

    @Test func s09OwnFindingsAlwaysHaveRoom() throws {
        let world = try World(11, seed: 1) { $0.voteLifetime = 600 }
        world.run(until: 260)
        var jury = world.juries[0]
        let ballots = ballots(in: world)
        for ballot in ballots { _ = jury.asked(ballot, from: world.ids[0], now: instant(260)) }
        // A ballot that this node votes on becomes its own; at the limit the oldest gives way.
        for ballot in ballots where jury.asked(ballot, from: world.ids[1], now: instant(260)) {
            _ = jury.voted(ballot, signature: [UInt8](repeating: 0, count: 64), now: instant(260))
        }
        #expect(jury.counts.own == Jury.ownLimit && jury.counts.others <= Jury.ballotsPerSender)
        let newest = try #require(ballots.last)
        let answer = jury.take(BallotVotes(ballot: newest, votes: []), from: world.ids[2], now: instant(260))
        #expect(answer?.answer.votes.count == 1)
    }

    @Test func encodingsAreRead() throws {
        let world = try World(11, seed: 1)
        world.run(until: 4)
        let ballot = Ballot(verdict: .decommission, node: world.ids[9], height: world.state.height)
        #expect(try readBallot(ballot.encoded) == ballot)
        let votes = vote(ballot, by: 3, in: world)
        #expect(try readVotes(votes.encoded) == votes)
        for count in 0..<votes.encoded.count {
            #expect(throws: WireError.self) { try readVotes(Array(votes.encoded.prefix(count))) }
        }
        let twice = BallotVotes(ballot: ballot, votes: votes.votes + votes.votes)
        #expect(throws: WireError.outOfRange) { try readVotes(twice.encoded) }
        #expect(throws: WireError.trailingBytes) { try readBallot(ballot.encoded + [0]) }
        #expect(throws: WireError.unknownKind(9)) { try readBallot([9] + ballot.encoded.dropFirst()) }
    }
}

private func readBallot(_ bytes: [UInt8]) throws -> Ballot { try Ballot(decoding: bytes.rawSpan) }

private func readVotes(_ bytes: [UInt8]) throws -> BallotVotes { try BallotVotes(decoding: bytes.rawSpan) }
