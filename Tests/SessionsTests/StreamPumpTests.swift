import EventLoop
import LoopTesting
import Testing
import Transport
import Wire

@testable import Sessions

@Suite struct StreamPumpTests {
    private final class End: ByteStreamDelegate {
        func stream(_ stream: ByteStream, received bytes: RawSpan) {}
        func streamReachedEnd(_ stream: ByteStream) {}
        func stream(_ stream: ByteStream, failed error: UVError) {}
    }

    /// R5: room that all streams share is promised to a stream only while its socket has something for it.
    @Test func aSocketWithoutBytesDoesNotWaitForRoom() throws {
        let loop = try Loop()
        defer { loop.close() }
        let session = Session(turn: SessionTurn(loop: loop), role: .initiator, configuration: Configuration(), seed: 1)
        let quiet = try session.connection.openStream()
        // It has much to send, so it has no room of its own.
        _ = session.connection.write(quiet, [UInt8](repeating: 7, count: 8 << 10).rawSpan)
        // Others take all the room that there is without a leg.
        let bytes = [UInt8](repeating: 7, count: InitialLimits.streamData)
        var writes = 0
        while session.connection.sendCapacity(quiet, atLeast: 0) >= 4 << 10, writes < 100 {
            let other = try session.connection.openStream()
            _ = session.connection.write(other, bytes.rawSpan)
            writes += 1
        }
        try #require(writes > 1 && writes < 100)

        var accepted: ByteStream?
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { accepted = $0 }
        let app = try ByteStream.connect(on: loop, to: try #require(listener.localAddress), delegate: End())
        #expect(loop.run { accepted != nil })
        let socket = try #require(accepted)
        let pump = StreamPump(session: session, id: quiet, socket: socket) {}
        #expect(!socket.hasBytesToRead)
        #expect(pump.streamReadLimit(socket) == 1)
        try app.write([1, 2, 3])
        #expect(loop.run { socket.hasBytesToRead })
        #expect(pump.streamReadLimit(socket) == 0)
        for stream in [app, socket] { stream.close() }
        listener.close()
    }
}
