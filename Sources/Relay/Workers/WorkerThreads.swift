internal import EventLoop
internal import Links
internal import Logging

/// Workers on threads of their own.
final class WorkerThreads: WorkerPlace {
    let inboxes: [WorkerInbox]
    private var threads: [LoopThread] = []

    /// The others of so many workers; throws if there are not as many threads to be had.
    init(of workers: Int) throws(UVError) {
        var inboxes: [WorkerInbox] = []
        for number in 1..<workers {
            let (thread, inbox) = try LoopThread.start(name: "tunic-worker-\(number)") { loop throws(UVError) in
                let post = try WorkerPost(on: loop, of: workers)
                guard let inbox = post.inbox else { preconditionFailure("a new post is open") }
                return LoopThread.Begun(inbox) { post.close() }
            }
            threads.append(thread)
            inboxes.append(inbox)
        }
        self.inboxes = inboxes
    }

    func close() {
        for thread in threads { thread.stop() }
        threads = []
    }
}

extension LinksConfiguration {
    /// Binds the sockets of so many workers, as ``groups``; false if the kernel cannot divide packets among them.
    ///
    /// Then nothing is bound.
    mutating func bind(workers: Int) throws(UVError) -> Bool {
        var options = socket
        options.answersWhereAsked = true
        var groups: [DatagramGroup] = []
        for address in listen {
            do throws(UVError) {
                groups.append(try DatagramGroup(of: workers, bindTo: address, configuration: options))
            } catch {
                throw error.at(address.description)
            }
        }
        guard groups.allSatisfy({ $0.count == workers }) else { return false }
        self.groups = groups
        return true
    }
}

extension Relay {
    /// Where the other workers of `configuration` run; nil for one worker.
    ///
    /// On threads they need `setup`'s sockets, which are bound here.
    static func place(
        of configuration: RelayConfiguration, beside loop: Loop, _ setup: inout LinksConfiguration, log: Logger
    ) throws(UVError) -> (any WorkerPlace)? {
        let workers = configuration.workers
        guard workers > 1 else { return nil }
        if let simulated = try SimulatedWorkers(beside: loop, of: workers) { return simulated }
        guard try setup.bind(workers: workers) else {
            log.warning(
                "the kernel does not divide packets among workers; the relay has one",
                metadata: ["relay.workers": "\(workers)"])
            return nil
        }
        return try WorkerThreads(of: workers)
    }
}
