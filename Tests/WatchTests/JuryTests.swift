import OnionCrypto
import Registry
import Testing
import Wire

@testable import Watch

/// Messages of the jury as they come from others.
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
        let first = jury.take(good, now: instant(4))
        let taken = try #require(first)
        #expect(taken.answer.votes.count == 1 && taken.isAsked && taken.actions.isEmpty)
        // Another's signature at the same place, or a vote under this node's own name.
        let other = vote(ballot, by: 4, in: world).votes[0]
        let forged = BallotVotes(ballot: ballot, votes: [.init(place: other.place, signature: good.votes[0].signature)])
        #expect(isRefused(&jury, forged))
        let own = vote(ballot, by: 0, in: world)
        #expect(isRefused(&jury, own))
        // No quorum had that height; the node stands otherwise; the judged one judges itself.
        for wrong in [
            Ballot(verdict: .decommission, node: world.ids[9], height: 99),
            Ballot(verdict: .recommission, node: world.ids[9], height: world.state.height),
            Ballot(verdict: .decommission, node: world.ids[0], height: world.state.height),
        ] {
            let isTaken = jury.asked(wrong, now: instant(4))
            #expect(!isTaken)
            #expect(isRefused(&jury, BallotVotes(ballot: wrong, votes: [])))
        }
    }

    private func isRefused(_ jury: inout Jury, _ votes: BallotVotes) -> Bool {
        jury.take(votes, now: instant(4)) == nil
    }

    @Test func othersVotesAloneAreHandedInByNobodyWhoDidNotVote() throws {
        let world = try World(11, seed: 1)
        world.run(until: 4)
        let ballot = Ballot(verdict: .decommission, node: world.ids[9], height: world.state.height)
        var jury = world.juries[0]
        for number in 1..<9 {
            let taken = jury.take(vote(ballot, by: number, in: world), now: instant(4))
            #expect(taken?.actions.isEmpty == true)
        }
        #expect(jury.submitted == 0)
    }

    @Test func ballotsAreBounded() throws {
        let world = try World(11, seed: 1) { $0.voteLifetime = 600 }
        world.run(until: 260)
        var jury = world.juries[0]
        var opened = 0
        for height in 2...world.state.height {
            for id in world.ids.dropFirst()
            where jury.asked(Ballot(verdict: .decommission, node: id, height: height), now: instant(260)) {
                opened += 1
            }
        }
        #expect(opened == Jury.ballotLimit)
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
