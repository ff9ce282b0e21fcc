internal import Client
internal import EventLoop
internal import Synchronization
internal import Wire

/// A client of a Tunic network inside of this program: streams and datagrams through paths of several nodes.
///
/// It has a thread and an event loop of its own; all functions can be called from any task, and none blocks a thread. It changes
/// nothing of the process: no signal handler, no limit, no environment. After ``shutDown()``, or when it and its streams are let
/// go, what was open through it ends, descriptors too; later calls throw ``TunicError/closed``.
public final class TunicClient: Sendable {
    private let sender: Mailbox<Command>.Sender
    private let numbers = Atomic<UInt64>(0)

    private init(_ sender: Mailbox<Command>.Sender) { self.sender = sender }

    deinit { sender.send(.shutDown { _ in }) }

    /// Starts a client, which begins to find paths; nothing was sent when this throws.
    public static func start(_ configuration: TunicConfiguration) async throws(TunicError) -> TunicClient {
        TunicClient(try await result { Engine.start(configuration, $0) })
    }

    /// Waits until a first path stands; ``open(_:port:isolation:)`` does so by itself, for some seconds.
    public func untilReady() async throws(TunicError) {
        let number = nextNumber
        try await ask(orElse: .giveUp(number)) { .waitUntilReady(number, $0) }
    }

    /// Opens a stream to `port` of `host`, a name, which the exit resolves, or an address.
    ///
    /// Streams with different `isolation` never share a path. It throws 28 s after the first exit was asked, at most 168 s after the
    /// call, and sooner when there is no path.
    public func open(_ host: String, port: UInt16, isolation: String = "") async throws(TunicError) -> TunicStream {
        let number = nextNumber
        let destination = try Self.destination(host, port)
        try await open(number) { .open(number, .bytes, destination, isolation: isolation, $0) }
        return TunicStream(number, sender, self)
    }

    /// Opens a stream as ``open(_:port:isolation:)`` does, for code that wants a descriptor.
    ///
    /// The result is one end of a pair of connected unix sockets. It blocks, and is the caller's to close. It works as long as this
    /// client is kept. A stream that breaks ends it as one that is done does. A write to one that is over raises SIGPIPE, unless
    /// the program ignores that, or sends with MSG_NOSIGNAL.
    public func openSocket(
        _ host: String, port: UInt16, isolation: String = ""
    ) async throws(TunicError) -> Int32 {
        let destination = try Self.destination(host, port)
        var pair = try SocketPair()
        let theirs = pair.takeTheirs()
        let number = nextNumber
        try await ask(orElse: .giveUp(number)) {
            .openSocket(number, theirs, destination, isolation: isolation, $0)
        }
        return pair.takeOurs()
    }

    /// Opens UDP sockets at an exit.
    public func openDatagrams(isolation: String = "") async throws(TunicError) -> TunicDatagrams {
        let number = nextNumber
        let nowhere = Destination(host: .address(IPAddress(v4: 0)), port: 0)
        try await open(number) { .open(number, .datagrams, nowhere, isolation: isolation, $0) }
        return TunicDatagrams(number, sender, self)
    }

    /// Ends everything that is open, tells the nodes, and returns when the thread has let go of its files and sockets.
    public func shutDown() async {
        do throws(TunicError) { try await ask { .shutDown($0) } } catch {
            // It is over already.
        }
    }

    /// Opens the stream `number`, of which nothing is left when this throws.
    private func open(
        _ number: UInt64, _ command: (@escaping Reply<Void>) -> Command
    ) async throws(TunicError) {
        do throws(TunicError) {
            try await ask(orElse: .giveUp(number), command)
        } catch {
            sender.send(.close(number))
            throw error
        }
    }

    /// A number for a stream or an operation.
    var nextNumber: UInt64 { numbers.add(1, ordering: .relaxed).newValue }

    private func ask(
        orElse cancel: Command? = nil, _ command: (@escaping Reply<Void>) -> Command
    ) async throws(TunicError) {
        try await TunicClient.ask(sender, orElse: cancel, command)
    }

    /// Sends a command and waits for the reply; `cancel` makes it come when the task is cancelled.
    static func ask<Value>(
        _ sender: Mailbox<Command>.Sender, orElse cancel: Command?, _ command: (@escaping Reply<Value>) -> Command
    ) async throws(TunicError) -> Value {
        let reply: Result<Value, TunicError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let asked = command { continuation.resume(returning: $0) }
                guard sender.send(asked) else { return asked.refuse() }
                // One that came before the command was for nothing.
                if Task.isCancelled, let cancel { sender.send(cancel) }
            }
        } onCancel: {
            if let cancel { sender.send(cancel) }
        }
        return try reply.get()
    }

    private static func result<Value>(_ body: (@escaping Reply<Value>) -> Void) async throws(TunicError) -> Value {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Value, TunicError>, Never>) in
            body { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// The destination that `host` and `port` say.
    static func destination(_ host: String, _ port: UInt16) throws(TunicError) -> Destination {
        guard port != 0 else { throw .badDestination }
        if let address = IPAddress(host) { return Destination(host: .address(address), port: port) }
        guard let name = HostName(host) else { throw .badDestination }
        return Destination(host: .name(name), port: port)
    }
}
