import Testing

@testable import Bench

private let credentials = SocksOpening.Credentials(user: "me", password: "x")

/// Feeds a conversation to an opening in pieces of at most `pieces` bytes, and returns the steps other than "wait".
private func steps(_ opening: SocksOpening, _ answers: [[UInt8]], pieces: Int) -> [SocksOpening.Step] {
    var opening = opening
    var steps: [SocksOpening.Step] = []
    for var rest in answers.map({ $0[...] }) {
        while !rest.isEmpty {
            let count = min(opening.missing, pieces, rest.count)
            let step = opening.take(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
            if step != .wait { steps.append(step) }
            if case .refused = step { return steps }
        }
    }
    return steps
}

@Test(arguments: [1, 2, 3, 100])
func aNameIsResolvedByTheProxy(pieces: Int) {
    let opening = SocksOpening(.resolve, to: ProxyTarget(host: "a.example", port: 0), credentials: credentials)
    #expect(opening.firstBytes == [5, 1, 2])
    let request: [UInt8] = [5, 0xf0, 0, 3, 9] + Array("a.example".utf8) + [0, 0]
    for (type, address) in [(1, 4), (4, 16)] as [(UInt8, Int)] {
        let bytes = (0..<address).map { UInt8($0 + 1) }
        let answers: [[UInt8]] = [[5, 2], [1, 0], [5, 0, 0, type] + bytes + [0, 0]]
        #expect(
            steps(opening, answers, pieces: pieces) == [
                .send([1, 2, 109, 101, 1, 120]), .send(request), .done(bytes),
            ])
    }
}

@Test(
    arguments: [
        ([[5, 0]], .method(0)), ([[4, 2]], .method(2)), ([[5, 255]], .method(255)), ([[5, 2], [1, 1]], .password),
        ([[5, 2], [1, 0], [5, 4, 0, 1, 0]], .reply(4)), ([[5, 2], [1, 0], [4, 0, 0, 1, 0]], .reply(0)),
        ([[5, 2], [1, 0], [5, 0, 0, 2, 0]], .addressType(2)),
    ] as [([[UInt8]], SocksOpening.Refusal)])
func aRefusalSaysWhatWasRefused(answers: [[UInt8]], refusal: SocksOpening.Refusal) {
    let opening = SocksOpening(.connect, to: ProxyTarget(host: "127.0.0.1", port: 1), credentials: credentials)
    #expect(steps(opening, answers, pieces: 100).last == .refused(refusal))
}

@Test func longCredentialsAreCut() {
    let long = SocksOpening.Credentials(user: String(repeating: "u", count: 300), password: "")
    var opening = SocksOpening(.connect, to: ProxyTarget(host: "h", port: 1), credentials: long)
    #expect(opening.take([5, 2]) == .send([1, 255] + [UInt8](repeating: 117, count: 255) + [0]))
}
