import Glibc
import Synchronization
import Testing

@testable import EventLoop

@Suite struct LoopThreadTests {
    @Test func aThreadHasALoopAndAnswersUntilItIsStopped() throws {
        let loop = try Loop()
        defer { loop.close() }
        var received: [Int] = []
        let answers = try Mailbox<Int>(on: loop) { received.append($0) }
        let (own, answer) = (pthread_self(), answers.sender)
        let ended = Atomic(0)
        let (thread, questions) = try LoopThread.start(name: "test-loop") { loop throws(UVError) in
            let mailbox = try Mailbox<Int>(on: loop) { number in
                loop.assertOnThread()
                answer.send(pthread_self() == own ? -1 : number + 1)
            }
            return LoopThread.Begun(mailbox.sender) {
                // The loop still takes objects here.
                mailbox.close()
                ended.add(1, ordering: .relaxed)
            }
        }
        for number in 0..<100 { #expect(questions.send(number)) }
        run(loop) { received.count == 100 }
        #expect(received == Array(1...100))
        #expect(ended.load(ordering: .relaxed) == 0)
        thread.stop()
        #expect(ended.load(ordering: .relaxed) == 1)
        #expect(!questions.send(0))
        thread.stop()
    }

    @Test func anErrorOfTheBeginningIsThrownAndTheThreadEnds() throws {
        let taken = try Loop()
        defer { taken.close() }
        let socket = try DatagramSocket(on: taken, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        let address = socket.localAddress
        let error = #expect(throws: UVError.self) {
            _ = try LoopThread.start(name: "test-error") { loop throws(UVError) in
                _ = try DatagramSocket(on: loop, bindTo: address, receiver: nil)
                return LoopThread.Begun(0) {}
            }
        }
        #expect(error?.kind == .addressInUse)
    }

    @Test func signalsOfTheProcessGoToOtherThreads() throws {
        let (thread, blocked) = try LoopThread.start(name: "test-signals") { _ in
            var signals = sigset_t()
            unsafe pthread_sigmask(SIG_BLOCK, nil, &signals)
            let found = [SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD, SIGSEGV, SIGTRAP].map { signal in
                unsafe sigismember(&signals, signal) == 1
            }
            return LoopThread.Begun(found) {}
        }
        thread.stop()
        #expect(blocked == [true, true, true, true, true, false, false])
    }

    @Test func aThreadThatNobodyHoldsIsStopped() throws {
        let ended = Atomic(0)
        for _ in 0..<50 {
            let (thread, _) = try LoopThread.start(name: "test-released") { _ in
                LoopThread.Begun(0) { ended.add(1, ordering: .relaxed) }
            }
            _ = consume thread
        }
        #expect(ended.load(ordering: .relaxed) == 50)
    }

    @Test func theProcessorTimeIsThatOfTheThread() throws {
        let work: @Sendable (Loop) -> UInt64 = { loop in
            let begin = loop.processorTime
            var sum = UInt64(1)
            while loop.processorTime - begin < 20_000_000 { sum = sum &* 3 &+ 1 }
            return sum > 0 ? loop.processorTime : 0
        }
        let loop = try Loop()
        defer { loop.close() }
        let before = loop.processorTime
        let (thread, used) = try LoopThread.start(name: "test-time") { LoopThread.Begun(work($0)) {} }
        thread.stop()
        #expect(used >= 20_000_000)
        #expect(loop.processorTime - before < 20_000_000)
    }

    @Test func threadsHandPacketsToEachOther() throws {
        let loop = try Loop()
        defer { loop.close() }
        let (size, count) = (96, 5_000)
        var received: [UInt8] = []
        let back = try Mailbox<PacketCopies>(on: loop, capacity: 16) { copies in
            copies.deliver(on: loop) { batch in
                for number in 0..<batch.count {
                    let packet = batch.packet(number)
                    received.append(array(packet.bytes)[5])
                }
            }
        }
        let backSender = back.sender
        let (thread, there) = try LoopThread.start(name: "test-packets") { loop throws(UVError) in
            let lane = PacketLane(packetSize: size) { backSender.send($0) }
            let mailbox = try Mailbox<PacketCopies>(on: loop, capacity: 16) { copies in
                copies.deliver(on: loop) { batch in
                    for number in 0..<batch.count {
                        let packet = batch.packet(number)
                        let isAdded = lane.add(packet.bytes, from: .loopbackIPv4(port: 1))
                        precondition(isAdded, "no more are under way here than there")
                    }
                    lane.flush()
                }
            }
            return LoopThread.Begun(mailbox.sender) {}
        }
        let lane = PacketLane(packetSize: size) { there.send($0) }
        var sent = 0
        run(loop) {
            while sent < count, sent - received.count < 512 {
                let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: sent), count: size)
                guard unsafe lane.add(bytes.span.bytes, from: .loopbackIPv4(port: 2)) else { break }
                sent += 1
            }
            lane.flush()
            if sent < count { loop.wake() }
            return received.count == count
        }
        thread.stop()
        #expect(received == (0..<count).map { UInt8(truncatingIfNeeded: $0) })
    }
}
