import Testing

@testable import Bench

private let request = Request(.download, stream: 7)
private let target = ProxyTarget(host: "127.0.0.1", port: 8000)

/// Feeds a conversation to an opening in pieces of at most `pieces` bytes, and returns the steps other than "wait".
private func steps(_ opening: Opening, _ answers: [[UInt8]], pieces: Int) -> [Opening.Step] {
    var opening = opening
    var steps: [Opening.Step] = []
    for answer in answers {
        var rest = answer[...]
        while !rest.isEmpty {
            let count = min(opening.missing, pieces, rest.count)
            let step = opening.take(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
            if step != .wait { steps.append(step) }
            if case .failed = step { return steps }
        }
    }
    return steps
}

@Test(arguments: [1, 2, 3, 100])
func aStreamOpensThroughAProxy(pieces: Int) {
    let opening = Opening(to: target, userName: nil, request: request)
    #expect(opening.firstBytes == [5, 1, 0])
    for place: [UInt8] in [[1, 0, 0, 0, 0], [4] + [UInt8](repeating: 0, count: 16), [3, 4, 110, 97, 109, 101]] {
        let answers = [[5, 0], [5, 0, 0] + place + [0, 0], request.answer]
        #expect(
            steps(opening, answers, pieces: pieces) == [
                .send([5, 1, 0, 1, 127, 0, 0, 1, 0x1f, 0x40]), .send(request.bytes), .open,
            ])
    }
}

@Test func anIsolatedStreamHasAUserName() {
    let opening = Opening(to: ProxyTarget(host: "host.example", port: 1), userName: "me", request: request)
    #expect(opening.firstBytes == [5, 1, 2])
    let answers: [[UInt8]] = [[5, 2], [1, 0], [5, 0, 0, 1, 0, 0, 0, 0, 0, 0], request.answer]
    #expect(
        steps(opening, answers, pieces: 5) == [
            .send([1, 2, 109, 101, 5] + Array("bench".utf8)),
            .send([5, 1, 0, 3, 12] + Array("host.example".utf8) + [0, 1]),
            .send(request.bytes), .open,
        ])
}

@Test func aDirectStreamBeginsWithItsRequest() {
    let opening = Opening(to: nil, userName: nil, request: request)
    #expect(opening.firstBytes == request.bytes)
    #expect(steps(opening, [request.answer], pieces: 3) == [.open])
}

@Test(
    arguments: [
        ([[5, 255]], LoadFault.Kind.refused, "method"),
        ([[4, 0]], .refused, "method"),
        ([[5, 0], [5, 5, 0, 1, 0]], .refused, "connection refused"),
        ([[5, 0], [5, 99, 0, 1, 0]], .refused, "99"),
        ([[5, 0], [5, 0, 0, 9, 0]], .refused, "address type 9"),
        ([[5, 0], [5, 0, 0, 1, 0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8]], .corrupt, "answer"),
    ] as [([[UInt8]], LoadFault.Kind, String)])
func whatIsWrongIsNamed(answers: [[UInt8]], kind: LoadFault.Kind, word: String) throws {
    let last = steps(Opening(to: target, userName: nil, request: request), answers, pieces: 100).last
    guard case .failed(let fault) = last else {
        Issue.record("it did not fail: \(String(describing: last))")
        return
    }
    #expect(fault.kind == kind)
    #expect(fault.detail.contains(word))
}

@Test func aWrongPasswordIsARefusal() {
    let opening = Opening(to: target, userName: "me", request: request)
    #expect(steps(opening, [[5, 2], [1, 1]], pieces: 9).last == .failed(LoadFault(.refused, "SOCKS password")))
}

@Test func targetsAreNamesOrAddressesWithAPort() {
    #expect(ProxyTarget("127.0.0.1:80") == ProxyTarget(host: "127.0.0.1", port: 80))
    #expect(ProxyTarget("[::1]:80")?.description == "[::1]:80")
    #expect(ProxyTarget("sink.example:7000")?.description == "sink.example:7000")
    for wrong in ["", "host", "host:", ":80", "host:0", "host:65536", "a b:80", "1.2.3.4", "::1:80"] {
        #expect(ProxyTarget(wrong) == nil, "\(wrong)")
    }
}
