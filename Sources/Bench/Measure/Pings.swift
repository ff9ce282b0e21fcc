internal import EventLoop
internal import Glibc
internal import Synchronization

/// The result of a measurement of round trips.
struct PingResult: Sendable {
    /// The length of the window in seconds.
    var seconds: Double
    /// The times of the round trips in the window.
    var latencies: Latencies
}

/// The parameters of a measurement of round trips.
struct PingPlan: Sendable {
    var route: Route
    var number: UInt32
    /// The time before the window in seconds.
    var warmUp: Double
    /// The window in seconds.
    var seconds: Double
    /// The longest wait for an answer in seconds.
    var patience: Double
}

/// Sends one byte there and back on an open stream, and the next when the one before has come back.
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
    private(set) var result: Result<PingResult, LoadFaults>?

    init(on loop: Loop, _ plan: PingPlan, windowBegan: @escaping () -> Void) throws(UVError) {
        self.loop = loop
        self.plan = plan
        self.windowBegan = windowBegan
        farEnd = plan.route.target == nil ? try FarEnd(on: loop, at: .loopbackIPv4(port: 0)) : nil
        sentAt = loop.now
        timer = LoopTimer(on: loop) { [unowned self] in ticked() }
        guard let target = plan.route.target ?? farEnd?.address.flatMap({ ProxyTarget($0.description) }) else {
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
            result = .failure(LoadFaults(fault))
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
            return stream.end(LoadFault(.stalled, openedAt == nil ? "did not open in time" : "no answer in time"))
        }
        timer?.schedule(at: loop.now + 50_000_000)
    }
}

/// Measures round trips on its own thread, so that other streams' work at the near end does not count as the proxy's.
final class PingThread {
    private enum Message: Sendable {
        case windowBegan
        case ended(Result<PingResult, LoadFaults>)
    }

    private var mailbox: Mailbox<Message>?

    /// Starts at once.
    ///
    /// Calls `windowBegan` and then `completion` on `loop`, the latter exactly once.
    ///
    /// `windowBegan` is not called if the stream fails before the window. Neither is called after ``close()``.
    init(
        on loop: Loop, _ plan: PingPlan, windowBegan: @escaping () -> Void,
        completion: @escaping (Result<PingResult, LoadFaults>) -> Void
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

    /// Stops listening to the thread, which ends by itself.
    func close() {
        mailbox?.close()
        mailbox = nil
    }

    private static func run(_ plan: PingPlan, windowBegan: @escaping () -> Void) -> Result<PingResult, LoadFaults> {
        do throws(UVError) {
            let loop = try Loop()
            let pings = try Pings(on: loop, plan, windowBegan: windowBegan)
            loop.run()
            let result = pings.result ?? .failure(LoadFaults(LoadFault(.closed, "ended without a result")))
            loop.close()
            return result
        } catch {
            return .failure(LoadFaults(LoadFault(.closed, error.description)))
        }
    }
}

/// The body of a new thread.
private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Runs `body` on a new, detached thread.
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
