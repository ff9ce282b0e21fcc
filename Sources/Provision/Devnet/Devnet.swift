internal import Control
package import Directory
package import EventLoop
internal import Glibc
internal import OnionCrypto
package import Process
package import Wire

/// A network on this machine: each node and one client is a separate process; all end with this one.
///
/// The processes inherit a pipe from this one (`--parent-fd`), so they end even if it is killed.
///
/// It has more members than most types: the processes, and the state of their start and end.
package final class Devnet {
    /// The options of a network.
    package struct Options {
        package var nodes = 6
        package var exits = 2
        /// The workers of each node.
        package var workers = 1
        package var socks: Endpoint
        /// Nil: a temporary folder, removed at the end.
        package var folder: String?
        package var hops = 3
        package var pathUse = 900
        package var packetSize = NetworkFile.defaultPacketSize
        /// The limits that its nodes have for clients.
        package var limits = NetworkLimits()
        /// The numbers of its swarm store.
        package var swarms = NetworkFile.Swarms()
        /// The lengths of an epoch, of a block, and of a node's first credit, in seconds.
        package var registry = RegistryPlan(epoch: 5, block: 1, testCredit: 60)
        package var logLevel = "notice"
        /// The command that runs when a path is ready, and whose end stops the network; empty: none.
        package var command: [String] = []
        /// Whether a signal is the normal way to stop the network once it is ready.
        package var endsBySignal = true
        /// Whether other commands shall find the client without an option, if its socket's standard place is free.
        package var takesStandardControl = false

        /// The defaults, with a proxy at `socks`.
        package init(socks: Endpoint) { self.socks = socks }
    }

    private enum Phase {
        /// Nodes are starting.
        case nodes
        /// The client is starting.
        case client
        /// A path is ready.
        case running
        /// All processes are being stopped.
        case ending
    }

    private let options: Options
    private let watcher: any DevnetWatcher
    /// The loop on which it runs.
    package let loop: Loop
    private let signals: Signals
    private let folder: String
    private let network: NetworkFolder
    private let nodes: [Member]
    private let client: Member
    private var command: ChildProcess?
    /// The standard place at which commands find the client; nil: only at its own socket.
    private var standardControl: StandardControl?
    private var phase = Phase.nodes
    private var result: Result<Int32, Failure> = .success(0)
    private var ticker: LoopTimer?
    private var startTime: UInt64
    private var endTime: UInt64 = 0

    /// The longest time until a path is ready, in nanoseconds.
    private static let readyLimit: UInt64 = 30_000_000_000
    /// The longest time for nodes before the client starts without them, in nanoseconds.
    private static let nodeLimit: UInt64 = 5_000_000_000
    /// How often processes are asked for their status, in nanoseconds.
    private static let tick: UInt64 = 50_000_000
    /// When processes that were asked to end are asked again, and when they are killed, in nanoseconds.
    private static let endSteps: (again: UInt64, kill: UInt64) = (500_000_000, 2_000_000_000)

    /// Writes the network to its folder; starts nothing yet.
    ///
    /// It retains `watcher`.
    package init(_ options: Options, watcher: any DevnetWatcher) throws(Failure) {
        self.options = options
        self.watcher = watcher
        Sodium.initialize()
        loop = try makeLoop()
        startTime = loop.now
        // Checked before there is anything to remove.
        do {
            signals = try Signals(on: loop)
        } catch {
            throw Failure(.system, "cannot watch for signals: \(error)")
        }
        let addresses = try LoopbackPorts.free(options.nodes, on: loop)
        try LoopbackPorts.check(options.socks, on: loop)
        folder = if let folder = options.folder { folder } else { try Files.makeTemporaryFolder("tunic-devnet") }
        do throws(Failure) {
            let longest = "\(folder)/node-\(options.nodes)/\(ClientFolder.socketName)"
            guard longest.utf8.count <= ControlSocket.longestPath else {
                throw Failure.of(ControlError.pathTooLong(longest.utf8.count), longest).replacing(
                    "--control", by: "--dir")
            }
            var plan = NetworkFolder.Plan(
                name: "devnet", addresses: addresses.map { [$0] }, exits: options.exits,
                packetSize: options.packetSize, isLocal: true)
            (plan.limits, plan.swarms) = (options.limits, options.swarms)
            plan.registry = options.registry
            network = try NetworkFolder(in: folder, plan)
            try Files.makeFolder("\(folder)/client")
        } catch {
            if options.folder == nil { Files.remove(folder) }
            throw error
        }
        nodes = network.nodes.enumerated().map { Member(name: "node \($0 + 1) (\($1.id))", folder: $1.folder) }
        client = Member(name: "the client", folder: "\(folder)/client")
    }

    /// Runs the network until a signal, the command's end, or a failed start; returns the exit status.
    package func run() throws(Failure) -> Int32 {
        signals.handle(by: { [unowned self] in received($0) })
        watcher.starting("Starting \(nodes.count) nodes in \(folder)")
        ticker = LoopTimer(on: loop) { [unowned self] in ticked() }
        startNodes()
        if phase != .ending { ticker?.schedule(at: loop.now + Self.tick) }
        loop.run()
        signals.close()
        loop.close()
        standardControl?.remove()
        if options.folder == nil { Files.remove(folder) }
        return try result.get()
    }

    // MARK: - Starting

    private func startNodes() {
        for (member, node) in zip(nodes, network.nodes) {
            var arguments = [
                "relay", "--network", network.file, "--listen", node.addresses[0].description, "--data", node.folder,
            ]
            if options.workers > 1 { arguments += ["--workers", "\(options.workers)"] }
            if let authority = node.authority { arguments += ["--authority", authority] }
            if node.isExit { arguments += ["--exit", "--exit-allow", "127.0.0.0/8", "--exit-allow", "::1/128"] }
            guard start(member, arguments) else { return }
        }
    }

    private func startClient() {
        phase = .client
        watcher.starting("Starting the client")
        if options.takesStandardControl { standardControl = StandardControl() }
        if let standardControl { client.control = standardControl.path }
        _ = start(
            client,
            [
                "client", "--network", network.file, "--socks", options.socks.description, "--data", client.folder,
                "--control", client.control, "--hops", "\(options.hops)", "--path-use", "\(options.pathUse)",
            ])
    }

    private func start(_ member: Member, _ arguments: [String]) -> Bool {
        do throws(Failure) {
            try member.start(on: loop, arguments + ["--log-level", options.logLevel]) { [unowned self] in ended(member)
            }
            return true
        } catch {
            end(.failure(error))
            return false
        }
    }

    private func ticked() {
        switch phase {
        case .ending: return continueEnding()
        case .running: return
        case .nodes:
            let waiting = nodes.filter { $0.isRunning && !$0.isReady }
            for member in waiting { member.ask(on: loop) }
            if waiting.isEmpty || loop.now - startTime > Self.nodeLimit { startClient() }
        case .client:
            client.ask(on: loop)
            for member in nodes where member.isRunning && !member.isReady { member.ask(on: loop) }
            if client.isReady { becameReady() }
        }
        if phase == .nodes || phase == .client {
            guard loop.now - startTime < Self.readyLimit else { return giveUp() }
            ticker?.schedule(at: loop.now + Self.tick)
        }
    }

    private func giveUp() {
        let missing = ([client] + nodes).filter { !$0.isReady }.map { "\($0.name): \($0.condition)" }
        end(.failure(Failure(.unavailable, "the network is not ready after 30 s; " + missing.joined(separator: "; "))))
    }

    private func becameReady() {
        phase = .running
        let socks = client.status?.socks.first ?? options.socks.description
        watcher.ready(self, announcement(socks: socks))
        if !options.command.isEmpty { startCommand(socks: socks) }
    }

    /// Whether commands find the client without an option.
    package var hasStandardControl: Bool { standardControl != nil }

    private func announcement(socks: String) -> DevnetAnnouncement {
        DevnetAnnouncement(
            socks: socks, control: client.control, client: .init(pid: client.pid), folder: folder,
            network: network.file,
            nodes: zip(nodes, network.nodes).map { member, node in
                .init(
                    id: node.id.description, pid: member.pid, address: node.addresses[0].description, exit: node.isExit,
                    control: member.control)
            })
    }

    // MARK: - The command

    private func startCommand(socks: String) {
        let ownPath = Member.program
        var child = ChildProcess.Command(
            ownPath, ["run-with-parent", "--parent", "\(getpid())", "--"] + options.command)
        child.environment = ProxyEnvironment.variables(socks: socks, control: client.control)
        child.input = .inherited
        do throws(UVError) {
            command = try ChildProcess(on: loop, child) { [unowned self] exit in
                command = nil
                switch exit {
                case .status(let status): end(.success(Int32(truncatingIfNeeded: status)))
                case .signal(let number): end(.success(128 + number))
                }
            }
        } catch {
            end(.failure(Failure(.system, "cannot start \(options.command[0]): \(error.name)")))
        }
    }

    // MARK: - Ending

    private func received(_ signal: Signals.Signal) {
        switch phase {
        case .ending: return
        case .running:
            if let command {
                // Its status becomes this process's; a command that does not end is killed with the other processes.
                command.send(signal: SIGTERM)
                end(.success(128 + (signal == .interrupt ? SIGINT : SIGTERM)))
            } else {
                end(.success(options.endsBySignal ? 0 : 128 + (signal == .interrupt ? SIGINT : SIGTERM)))
            }
        case .nodes, .client: end(.success(128 + (signal == .interrupt ? SIGINT : SIGTERM)))
        }
    }

    private func ended(_ member: Member) {
        guard phase != .ending else { return }
        watcher.memberEnded("\(member.name) \(member.condition)")
        if member === client && phase == .client {
            end(.failure(Failure(.unavailable, "the network is not ready: the client \(member.condition)")))
        } else if phase != .running && nodes.allSatisfy({ !$0.isRunning }) {
            end(.failure(Failure(.unavailable, "the network is not ready: all nodes have ended")))
        }
    }

    /// Stops everything, so that ``run()`` returns `result`; has no effect the second time.
    package func end(_ result: Result<Int32, Failure>) {
        if phase == .ending { return }
        self.result = result
        phase = .ending
        watcher.ending()
        endTime = loop.now
        for member in nodes + [client] { member.kill(SIGTERM) }
        continueEnding()
    }

    /// Whether the second round of signals has been sent.
    private var hasAskedAgain = false

    private func continueEnding() {
        let members = nodes + [client]
        if members.allSatisfy({ !$0.isRunning }) && command == nil {
            return loop.stop()
        }
        let time = loop.now - endTime
        if time >= Self.endSteps.kill {
            for member in members { member.kill(SIGKILL) }
            command?.send(signal: SIGKILL)
        } else if time >= Self.endSteps.again && !hasAskedAgain {
            hasAskedAgain = true
            for member in members { member.kill(SIGTERM) }
        }
        ticker?.schedule(at: loop.now + 20_000_000)
    }
}
