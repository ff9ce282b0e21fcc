import EventLoop
import LoopTesting
import Synchronization
import Testing
import Wire

@testable import Client
@testable import Tunic

/// The operations that wait on a stream, and the events that end them.
@Suite struct StreamEndTests {
    /// Keeps the results with which a reply was called.
    private final class Heard<Value: Sendable & Equatable>: Sendable {
        private let results = Mutex<[Result<Value, TunicError>]>([])
        var reply: Reply<Value> { { result in self.results.withLock { $0.append(result) } } }
        var count: Int { results.withLock { $0.count } }
        var failure: TunicError? {
            results.withLock { results in
                if case .failure(let error)? = results.first { error } else { nil }
            }
        }
    }

    private let end = StreamEnd { _ in }

    @Test("a cancelled read ends neither a write nor the read that follows, however late the word of it comes")
    func oneOperation() {
        let (first, next) = (Heard<[UInt8]>(), Heard<[UInt8]>())
        let written = Heard<Nothing>()
        end.read(10, 1, first.reply)
        end.write([1, 2, 3], 2) { written.reply($0.map { Nothing() }) }
        end.cancel(1)
        #expect(first.failure == .cancelled && written.count == 0)
        end.read(10, 3, next.reply)
        end.cancel(1)
        #expect(next.count == 0 && first.count == 1)
        end.cancel(2)
        #expect(written.failure == .cancelled && next.count == 0)
    }

    @Test("two reads at once are one too many")
    func busy() {
        let (first, second) = (Heard<[UInt8]>(), Heard<[UInt8]>())
        end.read(10, 1, first.reply)
        end.read(10, 2, second.reply)
        #expect(second.failure == .busy && first.count == 0)
    }

    @Test("nothing can be written behind the end of our half")
    func writeAfterFinish() {
        let written = Heard<Nothing>()
        end.finish()
        end.write([1], 1) { written.reply($0.map { Nothing() }) }
        #expect(written.failure == .closed)
    }

    @Test("L1: a datagram to a host for which no exit is asked is refused, so that no program tries again")
    func datagramsToNowhere() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        end.stream = AppStream(on: loop, rule: AnswerRule(allowsPrivate: false), user: end)
        func failure(_ host: Destination.Host) -> TunicError? {
            let heard = Heard<Nothing>()
            end.send([1], to: Destination(host: host, port: 53)) { heard.reply($0.map { Nothing() }) }
            return heard.failure
        }
        #expect(failure(.name(try #require(HostName("nas.lan")))) == .refused(.hostNotFound))
        #expect(failure(.name(try #require(HostName("hidden.onion")))) == .refused(.hostNotFound))
        #expect(failure(.address(try #require(IPAddress("192.168.0.1")))) == .refused(.notAllowed))
        // The stream is not open, so nothing else can be sent either.
        #expect(failure(.address(try #require(IPAddress("9.9.9.9")))) == .notSent)
    }

    @Test("who waits hears the end once")
    func over() {
        let read = Heard<[UInt8]>()
        let written = Heard<Nothing>()
        end.read(10, 1, read.reply)
        end.write([1], 2) { written.reply($0.map { Nothing() }) }
        end.end(.closed)
        end.end(.broken)
        #expect(read.failure == .closed && read.count == 1)
        #expect(written.failure == .closed && written.count == 1)
    }

    private struct Nothing: Equatable {}
}
