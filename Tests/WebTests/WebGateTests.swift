import Testing

@testable import Web

@Suite("L2: requests that a page of another site makes a browser send have no effect") struct WebGateTests {
    private let gate = WebGate(port: 7000, token: "secret")

    private func request(_ method: String, host: String = "127.0.0.1:7000") -> WebRequest {
        var request = WebRequest(method: method, path: "/")
        request.host = host
        return request
    }

    @Test(arguments: ["127.0.0.1:7000", "localhost:7000", "LOCALHOST:7000", "[::1]:7000"])
    func ownNamesPass(_ host: String) { #expect(gate.refusal(of: request("GET", host: host)) == nil) }

    @Test(arguments: [
        "", "example.org", "example.org:7000", "127.0.0.1", "127.0.0.1:7001", "localhost.example.org:7000",
        "0.0.0.0:7000", "127.0.0.1:7000.example.org",
    ])
    func otherNamesAreRefused(_ host: String) {
        #expect(gate.refusal(of: request("GET", host: host))?.status == 421)
        #expect(gate.refusal(of: request("POST", host: host))?.status == 421)
    }

    @Test func changesTakeTheSecretInTheHeaderAndNoOtherOrigin() {
        var change = request("POST")
        #expect(gate.refusal(of: change)?.status == 403)
        change.queryToken = "secret"
        #expect(gate.refusal(of: change)?.status == 403)
        change.headerToken = "secret"
        #expect(gate.refusal(of: change) == nil)
        change.origin = "http://127.0.0.1:7000"
        #expect(gate.refusal(of: change) == nil)
        for origin in ["http://example.org", "null", "https://127.0.0.1:7000", "http://127.0.0.1:7001"] {
            change.origin = origin
            #expect(gate.refusal(of: change)?.status == 403, "\(origin)")
        }
    }

    @Test(arguments: ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get"])
    func otherMethodsAreRefused(_ method: String) { #expect(gate.refusal(of: request(method))?.status == 405) }

    @Test func theSecretIsComparedWhole() {
        var asked = request("GET")
        for wrong in ["", "secre", "secret1", "Secret", "tercse"] {
            asked.queryToken = wrong
            #expect(!gate.knowsToken(asked))
        }
        asked.queryToken = "secret"
        #expect(gate.knowsToken(asked))
        asked.queryToken = ""
        #expect(!WebGate(port: 7000, token: "").knowsToken(asked))
    }
}
