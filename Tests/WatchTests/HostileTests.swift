import OnionCrypto
import Registry
import Testing
import Wire

@testable import Watch

/// A hostile node among honest ones that sends false, forged, repeated and late votes, and votes of other nodes.
private final class Hostile {
    let number: Int
    private var random: SeededGenerator
    private var heard: [BallotVotes] = []

    init(_ number: Int, seed: UInt64) {
        self.number = number
        random = SeededGenerator(seed: seed)
    }

    private func ballot(_ world: World) -> Ballot {
        let verdicts = RegistryOperation.Judgment.allCases
        let back = UInt64.random(in: 0...70, using: &random)
        let height = world.state.height &+ 2 &- back
        return Ballot(
            verdict: verdicts.randomElement(using: &random)!, node: world.ids.randomElement(using: &random)!,
            height: Bool.random(using: &random) ? height : world.state.height)
    }

    private func votes(_ world: World) -> BallotVotes {
        let ballot = ballot(world)
        let judges = world.state.judges(of: ballot.node, height: ballot.height)
        let block = world.state.quorums.last { $0.height == ballot.height }?.block ?? Bytes32()
        let message = RegistryOperation.ballot(
            ballot.verdict, on: ballot.node, height: ballot.height, block: block, network: network)
        let signature = key(number).sign(message.rawSpan)
        let own = judges.firstIndex(of: world.ids[number]).map(UInt8.init)
        switch UInt8.random(in: 0..<6, using: &random) {
        case 0: return BallotVotes(ballot: ballot, votes: [])
        case 1: return BallotVotes(ballot: ballot, votes: own.map { [.init(place: $0, signature: signature)] } ?? [])
        // Its own signature at all places.
        case 2:
            let places = UInt8(0)..<UInt8(clamping: RegistryOperation.maximumVotes)
            return BallotVotes(ballot: ballot, votes: places.map { .init(place: $0, signature: signature) })
        case 3:
            return BallotVotes(
                ballot: ballot, votes: [.init(place: 255, signature: [UInt8](repeating: 7, count: 64))])
        // Real votes again, on this ballot or on another one.
        case 4: return heard.randomElement(using: &random) ?? BallotVotes(ballot: ballot, votes: [])
        default: return BallotVotes(ballot: ballot, votes: heard.randomElement(using: &random)?.votes ?? [])
        }
    }

    func act(_ world: World) {
        // It is away at times.
        guard world.state.height % 11 < 8 else { return }
        for _ in 0..<60 {
            let other = Int.random(in: 0..<world.count, using: &random)
            guard other != number else { continue }
            if Bool.random(using: &random) {
                world.ask(ballot(world), other, from: number)
            } else if let answer = world.tell(votes(world), other, from: number), !answer.votes.isEmpty,
                heard.count < 200
            {
                heard.append(answer)
            }
        }
    }
}

struct HostileTests {
    @Test(arguments: UInt64(1)...2) func s09OneThatSendsAnythingChangesNothing(_ seed: UInt64) throws {
        let world = try World(13, seed: seed)
        let hostile = Hostile(5, seed: seed)
        world.reaches = { a, b, time in !((a == 4 || b == 4) && time >= 60 && time < 130) }
        world.onSubmit = { world, action in
            guard case .judge(let verdict, let node, let height, let votes) = action else {
                Issue.record("something else is handed in")
                return
            }
            // Each verdict that is handed in has enough real votes of members, each once.
            let judges = world.state.judges(of: node, height: height)
            let block = world.state.quorums.last { $0.height == height }?.block ?? Bytes32()
            let message = RegistryOperation.ballot(
                verdict, on: node, height: height, block: block, network: network)
            let real = votes.filter {
                Int($0.place) < judges.count
                    && SigningKey.verify($0.signature.rawSpan, of: message.rawSpan, by: judges[Int($0.place)].key)
            }
            #expect(real.count == votes.count && Set(votes.map(\.place)).count == votes.count)
            #expect(votes.count >= world.state.parameters.votesNeeded(ofQuorum: judges.count))
            #expect(node == world.ids[4])
        }
        world.afterBlock = { world in
            hostile.act(world)
            for jury in world.juries {
                #expect(jury.counts.others <= Jury.ballotsPerSender * (world.count - 1))
                #expect(jury.counts.own <= Jury.ownLimit)
            }
        }
        world.run(until: 230)
        #expect(world.verdicts.map(\.verdict) == [.decommission, .recommission], "seed \(seed)")
        #expect(world.verdicts.allSatisfy { $0.node == 4 })
        for number in 0..<13 { #expect(world.standing(number) == .active) }
    }
}
