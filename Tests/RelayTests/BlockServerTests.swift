import Directory
import EventLoop
import Glibc
import Link
import Links
import LoopTesting
import OnionCrypto
import Registry
import Store
import Testing
import Wire

@testable import Relay

/// Blocks from a file, over a link on 127.0.0.1.
@Suite struct BlockServerTests {
    private final class Server: ControlHandler {
        var blocks: BlockServer?

        func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
            var reader = ByteReader(body.rawSpan)
            guard message == LedgerMessage.getBlocks.kind, let height = try? reader.u64() else { return }
            blocks?.received(height, from: .address(AddressShare(IPAddress(v4: 0x7f00_0001))), responder)
        }
        func linkUp(_ link: LinkID, peer: LinkPeer) {}
        func linkDown(_ link: LinkID, reason: LinkDownReason) { blocks?.linkDown(link) }
    }

    @Test("s13: a link has one answer with blocks at a time and one that waits, and every answer ends")
    func oneAtATimeOnALink() throws {
        var template = Array("/tmp/tunic-blocks-XXXXXX".utf8CString)
        #expect(unsafe mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer {
            for suffix in ["", "-wal", "-shm"] { unsafe unlink("\(folder)/ledger.sqlite\(suffix)") }
            unsafe rmdir(folder)
        }
        let network = LinkNetwork(id: Bytes32(copying: SecureRandom.bytes(32).rawSpan))
        let store = try LedgerStore(folder: folder, genesis: network.id)
        for height in 1...10 as ClosedRange<UInt64> {
            try store.add([UInt8](repeating: UInt8(height), count: 60_000), at: height, state: nil)
        }
        let loop = Loop.simulated()
        defer { loop.close() }
        let identity = LinkIdentity(SigningKey())
        let node = NodeID(identity.nodeID)
        let links = try Links(
            on: loop,
            configuration: LinksConfiguration(
                network: network, listen: [.loopbackIPv4(port: 0)], messages: RelayMessage.kinds),
            identity: identity, isStaked: { $0 == node })
        let server = Server()
        server.blocks = BlockServer(links: links, reader: try LedgerReader(beside: store))
        links.control = server
        let client = try Links(
            on: loop,
            configuration: LinksConfiguration(
                network: network, listen: [.loopbackIPv4(port: 0)], messages: RelayMessage.kinds),
            identity: nil)
        client.control = server
        defer {
            client.closeAll()
            links.closeAll()
        }
        var up: Result<LinkID, LinkFailure>?
        client.link(to: node, at: links.localAddresses.map { Endpoint($0) }) { up = $0 }
        loop.run(for: .seconds(10), until: { up != nil })
        let link = try #require(up).get()

        var answers: [[UInt8]] = []
        var refused = 0
        func ask(above height: UInt64) {
            var writer = ByteWriter()
            writer.u64(height)
            client.request(on: link, LedgerMessage.getBlocks, body: writer.bytes) { result in
                if case .success(let body) = result { answers.append(body) } else { refused += 1 }
            }
        }
        for _ in 0..<60 { ask(above: 5) }
        loop.run(for: .seconds(10)) {
            server.blocks?.tick()
            return answers.count + refused == 60
        }
        #expect(answers.count >= 2 && refused > 0 && answers.count + refused == 60)
        // Four blocks of 60,000 bytes fit, each with its length in front.
        #expect(answers.allSatisfy { $0.count == 4 * 60_004 && $0[4] == 6 })
        // An asker that waits for each answer before it asks again is never refused.
        refused = 0
        for count in 1...10 {
            answers = []
            ask(above: UInt64(count - 1))
            loop.run(for: .seconds(10)) {
                server.blocks?.tick()
                return !answers.isEmpty || refused > 0
            }
            #expect(refused == 0 && answers.first?[4] == UInt8(count))
        }
    }
}
