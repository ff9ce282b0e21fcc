internal import EventLoop
internal import Glibc
internal import Synchronization

/// What a measurement of round trips saw.
struct PingResult: Sendable {
    /// How long the window was, in seconds.
    var seconds: Double
    /// The round trips in it.
    var latencies: Latencies
}

/// What to measure round trips with.
struct PingPlan: Sendable {
    var route: Route
    var number: UInt32
    /// In seconds.
    var warmUp: Double
    /// The window in seconds.
    var seconds: Double
    /// In seconds.
    var patience: Double
}

/// One byte there and back on an open stream, the next when the one before has come.
private final class Pings: LoadStreamOwner {
    private let loop: Loop
    private let plan: PingPlan
    private let farEnd: FarEnd?
    private let windowBegan: () -> Void
    private var stream: LoadStream?
    private var latencies = Latencies()
    private var sentAt: UInt64 = 0
    private var openedAt: UInt64?
    private var windowAt: UInt64?
    private var timer: LoopTimer?
    private(set) var result: Result<PingResult, Faults>?

    init(on loop: Loop, _ plan: PingPlan, windowBegan: @escaping () -> Void) throws(UVError) {
        self.loop = loop
        self.plan = plan
        self.windowBegan = windowBegan
        farEnd = plan.route.target == nil ? try FarEnd(on: loop, at: .loopbackIPv4(port: 0)) : nil
        sentAt = loop.now
        timer = LoopTimer(on: loop) { [unowned self] in ticked() }
        guard let target = plan.route.target ?? farEnd?.address.flatMap({ Target($0.description) }) else {
            preconditionFailure("a listener has an address")
        }
        stream = LoadStream(
            .ping, number: plan.number, on: loop, along: plan.route, to: target, userName: nil, tally: Tally(),
            owner: self)
        timer?.schedule(at: loop.now)
    }

    func opened(_ stream: LoadStream) {
        openedAt = loop.refreshNow()
        sentAt = loop.now
        if plan.warmUp == 0 { beginWindow() }
        stream.ping()
    }

    func echoed(_ stream: LoadStream) {
        let now = loop.refreshNow()
        if let windowAt {
            latencies.record(now - sentAt)
            if now - windowAt >= nanoseconds(plan.seconds) { return stream.end(nil) }
        } else if let openedAt, now - openedAt >= nanoseconds(plan.warmUp) {
            beginWindow()
        }
        sentAt = loop.refreshNow()
        stream.ping()
    }

    func ended(_ stream: LoadStream) {
        guard result == nil else { return }
        if let fault = stream.tally.fault {
            result = .failure(Faults(fault))
        } else {
            result = .success(
                PingResult(seconds: Double(loop.now - (windowAt ?? loop.now)) / 1e9, latencies: latencies))
        }
        timer?.close()
        farEnd?.close()
        loop.stop()
    }

    private func beginWindow() {
        windowAt = loop.now
        windowBegan()
    }

    private func ticked() {
        guard let stream else { return }
        if stream.isEnded { return ended(stream) }
        if loop.now - sentAt > nanoseconds(plan.patience) {
            return stream.end(Fault(.stalled, openedAt == nil ? "did not open in time" : "no answer in time"))
        }
        timer?.schedule(at: loop.now + 50_000_000)
    }
}

/// Round trips measured on a thread of its own, so that other streams' work at the near end does not count as the proxy's.
final class PingThread {
    private enum Message: Sendable {
        case windowBegan
        case ended(Result<PingResult, Faults>)
    }

    private var mailbox: Mailbox<Message>?

    /// Starts at once; `windowBegan` and then `completion` are called on `loop`, the latter exactly once.
    init(
        on loop: Loop, _ plan: PingPlan, windowBegan: @escaping () -> Void,
        completion: @escaping (Result<PingResult, Faults>) -> Void
    ) throws(UVError) {
        let mailbox = try Mailbox<Message>(on: loop) { [unowned self] message in
            switch message {
            case .windowBegan: windowBegan()
            case .ended(let result):
                close()
                completion(result)
            }
        }
        self.mailbox = mailbox
        let sender = mailbox.sender
        do throws(UVError) {
            try startThread { sender.send(.ended(Self.run(plan) { sender.send(.windowBegan) })) }
        } catch {
            mailbox.close()
            throw error
        }
    }

    /// Hears no more of the thread, which ends by itself.
    func close() {
        mailbox?.close()
        mailbox = nil
    }

    private static func run(_ plan: PingPlan, windowBegan: @escaping () -> Void) -> Result<PingResult, Faults> {
        do throws(UVError) {
            let loop = try Loop()
            let pings = try Pings(on: loop, plan, windowBegan: windowBegan)
            loop.run()
            let result = pings.result ?? .failure(Faults(Fault(.closed, "ended without a result")))
            loop.close()
            return result
        } catch {
            return .failure(Faults(Fault(.closed, error.description)))
        }
    }
}

/// What a new thread runs, and nothing else.
private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Runs `body` on a new thread, which nobody waits for.
private func startThread(_ body: @escaping @Sendable () -> Void) throws(UVError) {
    let context = unsafe Unmanaged.passRetained(ThreadBody(body))
    var thread = pthread_t()
    let result = unsafe pthread_create(&thread, nil, threadMain, context.toOpaque())
    guard result == 0 else {
        unsafe context.release()
        throw UVError(code: result, call: "pthread_create")
    }
    pthread_detach(thread)
}

private func threadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context = unsafe context { unsafe Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run() }
    return nil
}
