import Onion
import OnionCrypto
import Sessions
import Testing
import VectorFiles
import Wire

/// The values that an independent model computes from protocol.md, section 7.
@Suite struct VectorTests {
    @Test("a session's id and the MAC of a leg that joins it", arguments: 1...4)
    func sessionOfAPath(_ hops: Int) throws {
        let file = try VectorFile("path\(hops)")
        let secrets = SessionSecrets(secret: try file.secret("secret.\(hops - 1)"))
        #expect([UInt8](copying: secrets.session.bytes) == (try file("session secret")))
        #expect([UInt8](copying: secrets.leg.bytes) == (try file("leg secret")))
        #expect(secrets.sessionID == (try file("session id")))
        #expect(secrets.joinMAC(session: secrets.session, leg: 3) == (try file("join mac")))
        #expect(secrets.joinMAC(session: secrets.session, leg: 4) != (try file("join mac")))
        #expect(secrets.joinMAC(session: secrets.leg, leg: 3) != (try file("join mac")))
    }
}
