import SocksProtocol
import Testing
import Wire

/// The result of a conversation: all bytes sent to the client, and the end.
struct Outcome: Equatable {
    var sent: [UInt8] = []
    var request: SocksRequest?
    var early: [UInt8] = []
    var error: SocksError?
}

/// The bytes of a client, and the expected outcome.
struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let input: [UInt8]
    let outcome: Outcome

    init(_ name: String, _ input: [UInt8], sent: [UInt8], request: SocksRequest? = nil, early: [UInt8] = []) {
        self.testDescription = name
        self.input = input
        self.outcome = Outcome(sent: sent, request: request, early: early)
    }

    /// `sent` does not contain `answer`, which is the answer to the error.
    init(_ name: String, _ input: [UInt8], sent: [UInt8] = [], error: SocksError, answer: [UInt8]) {
        self.testDescription = name
        self.input = input
        self.outcome = Outcome(sent: sent + answer, error: error)
    }
}

func receive(_ bytes: [UInt8], _ handshake: inout SocksHandshake) -> SocksHandshake.Action {
    unsafe handshake.receive(bytes.span.bytes)
}

func feed(_ pieces: [[UInt8]], limit: Int = 65_536) -> Outcome {
    var handshake = SocksHandshake(earlyDataLimit: limit)
    var outcome = Outcome()
    for piece in pieces {
        switch receive(piece, &handshake) {
        case .wait(let send): outcome.sent += send
        case .request(let request, let send):
            outcome.sent += send
            #expect(outcome.request == nil, "one request per connection")
            outcome.request = request
        case .refuse(let error, let send):
            outcome.sent += send
            #expect(outcome.error == nil || outcome.error == error && send.isEmpty, "one refusal per connection")
            outcome.error = error
        }
    }
    if outcome.error != nil { outcome.request = nil }
    if outcome.request != nil { outcome.early = handshake.takeEarlyData() }
    return outcome
}

func request(
    _ command: SocksRequest.Command, _ host: String, _ port: UInt16, _ credentials: SocksCredentials? = nil,
    via: ProxyProtocol = .socks5
) -> SocksRequest {
    let address = IPAddress(host)
    let host: Destination.Host = address.map { .address($0) } ?? .name(HostName(host)!)
    return SocksRequest(
        command: command, destination: Destination(host: host, port: port), credentials: credentials, via: via)
}

/// Checks a conversation in pieces of every kind.
func check(_ row: Case) {
    #expect(feed([row.input]) == row.outcome, "whole")
    #expect(feed(row.input.map { [$0] }) == row.outcome, "byte by byte")
    #expect(feed(row.input.flatMap { [[], [$0]] } + [[]]) == row.outcome, "empty reads between")
    for point in row.input.indices where point < 600 || point % 37 == 0 {
        #expect(feed([Array(row.input[..<point]), Array(row.input[point...])]) == row.outcome, "split at \(point)")
    }
}

/// Changes bytes of conversations and cuts them at random; the outcome must not depend on the cuts.
func checkMutations(of cases: [Case], seed: UInt64, rounds: Int, bytes: (Int) -> UInt8) {
    var state = seed &* 0x9e37_79b9_7f4a_7c15
    func next(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }
    for _ in 0..<rounds {
        var input = cases[next(cases.count)].input
        for _ in 0..<next(4) where !input.isEmpty {
            input[next(input.count)] = next(2) == 0 ? UInt8(next(256)) : bytes(next(256))
        }
        var pieces: [[UInt8]] = []
        var rest = input[...]
        while !rest.isEmpty {
            let count = min(rest.count, 1 + next(20))
            pieces.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        #expect(feed(pieces) == feed([input]), "seed \(seed)")
    }
}
