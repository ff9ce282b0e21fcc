import Testing

@testable import Daemon

@Suite struct StatusServerTests {
    @Test("L2: the address of the PAC file does not show the page's secret, and is another one for each secret")
    func l2ThePACFileHasASecretOfItsOwn() {
        let (token, other) = ("0123456789abcdef", "0123456789abcdee")
        let path = StatusServer.pacPath(token)
        #expect(path.hasSuffix("/proxy.pac") && path.utf8.count == "/".utf8.count + 32 + "/proxy.pac".utf8.count)
        #expect(!path.contains(token) && path != StatusServer.pacPath(other))
    }
}
