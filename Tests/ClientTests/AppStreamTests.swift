import EventLoop
import LoopTesting
import SessionTesting
import Sessions
import Testing
import Transport
import Wire

@testable import Client

/// Streams that the process itself opens, over a session whose exit the test plays.
@Suite struct AppStreamTests {
    private final class User: AppStreamUser {
        var read: [UInt8] = []
        var isOpen = false
        var isStopped = false
        var ended: [AppStream.Failure?] = []
        var datagrams: [(Destination, [UInt8])] = []
        /// Whether it reads bytes as soon as they arrive.
        var isReading = true

        func streamOpened(_ stream: AppStream) { isOpen = true }
        func streamReadable(_ stream: AppStream) { if isReading { read += stream.read(.max) } }
        func streamWritable(_ stream: AppStream) {}
        func streamStopped(_ stream: AppStream) { isStopped = true }
        func stream(_ stream: AppStream, received data: [UInt8], from peer: Destination) {
            datagrams.append((peer, data))
        }
        func streamEnded(_ stream: AppStream, _ failure: AppStream.Failure?) { ended.append(failure) }
    }

    private final class Source: SessionSource {
        let sessions: PeerSession
        init(_ sessions: PeerSession) { self.sessions = sessions }
        func connect(_ app: some SessionApp, isolation: IsolationKey, needs: Descriptor.ExitSummary) {
            app.open(on: sessions.session)
        }
        func mayWaitOn(_ key: IsolationKey) -> Bool { false }
    }

    /// A stream that the exit has accepted.
    private final class World {
        let loop: Loop
        let sessions: PeerSession
        let user = User()
        let stream: AppStream
        private let source: Source
        let id = StreamID(0)

        init(_ kind: AppStream.Kind = .bytes) throws {
            loop = Loop.simulated()
            sessions = PeerSession(on: loop)
            source = Source(sessions)
            stream = AppStream(on: loop, rule: AnswerRule(allowsPrivate: false), user: user)
            let host = try #require(HostName("there.example"))
            stream.begin(
                kind, Destination(host: .name(host), port: 80), isolation: IsolationKey(ownStreams: "one"), from: source
            )
            let (loop, sessions, user) = (loop, sessions, user)
            #expect(loop.run { sessions.peer.readableCount(StreamID(0)) > 0 })
            sessions.peer.withReadable(id) { $0.byteCount }
            _ = sessions.peer.write(id, OpenReply(status: .ok).encoded().rawSpan)
            #expect(step { user.isOpen })
        }

        /// Runs until `condition` holds, and delivers the exit's packets.
        func step(_ condition: @escaping () -> Bool) -> Bool {
            let (loop, sessions) = (loop, sessions)
            return loop.run {
                sessions.answer(Instant(nanoseconds: loop.now))
                return condition()
            }
        }

        /// The bytes that the exit has received since the last call, and the state of its receiving half.
        func received() -> (bytes: [UInt8], state: ReadState) {
            var bytes: [UInt8] = []
            sessions.peer.withReadable(id) {
                bytes = [UInt8](copying: $0)
                return $0.byteCount
            }
            return (bytes, sessions.peer.readState(id))
        }

        func close() {
            stream.close()
            sessions.session.end()
            loop.close()
        }
    }

    @Test("what was written before the end of our half reaches the exit, though the stream is let go at once")
    func closedBehindItsEnd() throws {
        let world = try World()
        defer { world.close() }
        let taken = world.stream.write([1, 2, 3].rawSpan)
        #expect(taken == 3)
        world.stream.finish()
        world.stream.close()
        var all: [UInt8] = []
        #expect(
            world.step {
                let (bytes, state) = world.received()
                all += bytes
                return state == .finished
            })
        #expect(all == [1, 2, 3])
        // Bytes that still arrive are read and dropped until the exit ends its half.
        _ = world.sessions.peer.write(world.id, [UInt8](repeating: 7, count: 5_000).rawSpan)
        world.sessions.peer.finish(world.id)
        #expect(world.step { world.stream.isOver && world.sessions.session.streamCount == 0 })
        #expect(world.user.read.isEmpty && world.user.ended.isEmpty)
    }

    @Test("a stream that is let go before its end is reset")
    func closedBeforeItsEnd() throws {
        let world = try World()
        defer { world.close() }
        _ = world.stream.write([1, 2, 3].rawSpan)
        world.stream.close()
        #expect(world.step { world.received().state == .reset(SessionError.cancelled) })
        #expect(world.sessions.session.streamCount == 0)
    }

    @Test("an exit that takes no more bytes takes nothing away that it has sent")
    func stopped() throws {
        let world = try World()
        defer { world.close() }
        world.user.isReading = false
        _ = world.sessions.peer.write(world.id, Array("too large".utf8).rawSpan)
        world.sessions.peer.finish(world.id)
        world.sessions.peer.stopSending(world.id, code: 1)
        #expect(world.step { world.user.isStopped })
        #expect(world.user.ended.isEmpty)
        #expect(world.stream.read(.max) == Array("too large".utf8))
        #expect(world.step { world.user.ended.count == 1 })
        #expect(world.user.ended == [nil])
    }

    @Test("L1: datagrams to hosts that no exit is asked for are not sent")
    func nowhere() throws {
        let world = try World(.datagrams)
        defer { world.close() }
        for text in ["hidden.onion", "nas.lan", "there.example"] {
            let peer = Destination(host: .name(try #require(HostName(text))), port: 53)
            let isSent = world.stream.send([1].rawSpan, to: peer)
            #expect(isSent == (text == "there.example"), "\(text)")
        }
        for text in ["192.168.1.255", "224.0.0.251", "ff02::fb", "9.9.9.9"] {
            let peer = Destination(host: .address(try #require(IPAddress(text))), port: 5_353)
            let isSent = world.stream.send([1].rawSpan, to: peer)
            #expect(isSent == (text == "9.9.9.9"), "\(text)")
        }
    }

    @Test("L1, L5: what an exit says is a datagram from a host that the user has not sent to does not reach the user")
    func fromNowhere() throws {
        let world = try World(.datagrams)
        defer { world.close() }
        var hosts: [Destination.Host] = []
        for text in ["192.168.1.1", "127.0.0.1", "::1", "fe80::1", "9.9.9.9", "8.8.8.8"] {
            hosts.append(.address(try #require(IPAddress(text))))
        }
        for text in ["nas.lan", "localhost", "other.example", "there.example"] {
            hosts.append(.name(try #require(HostName(text))))
        }
        // The program has sent to one address and to one name, and in vain to hosts of its own network.
        for host in [hosts[0], hosts[6], hosts[4], hosts[9]] {
            _ = world.stream.send([1].rawSpan, to: Destination(host: host, port: 53))
        }
        for host in hosts {
            let data: [UInt8] = [7]
            let encoded = FlowDatagram.encoded(Destination(host: host, port: 9), data.rawSpan)
            let bytes = try #require(encoded)
            let isTaken = world.sessions.peer.sendDatagram(flow: world.id.value, bytes.rawSpan)
            #expect(isTaken)
        }
        #expect(world.step { world.user.datagrams.count >= 2 })
        world.loop.run(for: .seconds(1)) {
            world.sessions.answer(Instant(nanoseconds: world.loop.now))
            return false
        }
        #expect(world.user.datagrams.map(\.0.host) == [hosts[4], hosts[9]])
    }

    @Test("streams of different names never share a key, however alike the names look")
    func isolation() {
        let composed = IsolationKey(ownStreams: "\u{e9}")
        let decomposed = IsolationKey(ownStreams: "e\u{301}")
        #expect(composed != decomposed)
        #expect(IsolationKey(ownStreams: "") != IsolationKey(dns: 0))
    }
}
