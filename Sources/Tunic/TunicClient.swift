internal import Client
internal import EventLoop
internal import Synchronization
internal import Wire

/// A client of a Tunic network in this program: streams and datagrams through paths of several nodes.
///
/// It has its own thread and event loop. All functions can be called from any task, and none blocks a thread. It
/// changes no signal handler, limit or environment variable of the process. Its streams and descriptors end with
/// ``shutDown()``, or when the client and its streams are released. Later calls throw ``TunicError/closed``.
public final class TunicClient: Sendable {
    private let sender: Mailbox<Command>.Sender
    private let numbers = Atomic<UInt64>(0)

    private init(_ sender: Mailbox<Command>.Sender) { self.sender = sender }

    deinit { sender.send(.shutDown { _ in }) }

    /// Starts a client, which begins to build paths; if this throws, it has sent nothing.
    public static func start(_ configuration: TunicConfiguration) async throws(TunicError) -> TunicClient {
        TunicClient(try await result { Engine.start(configuration, $0) })
    }

    /// Waits until the first path is ready; ``open(_:port:isolation:)`` waits for it too, for some seconds.
    public func untilReady() async throws(TunicError) {
        let number = nextNumber
        try await ask(orElse: .giveUp(number)) { .waitUntilReady(number, $0) }
    }

    /// Opens a stream to `port` of `host`: an address, or a name that the exit resolves.
    ///
    /// Streams with different `isolation` never share a path. It throws 28 s after the first exit was asked, and at
    /// most 168 s after the call; without a path it throws sooner.
    public func open(_ host: String, port: UInt16, isolation: String = "") async throws(TunicError) -> TunicStream {
        let number = nextNumber
        let destination = try Self.destination(host, port)
        try await open(number) { .open(number, .bytes, destination, isolation: isolation, $0) }
        return TunicStream(number, sender, self)
    }

    /// Opens a stream as ``open(_:port:isolation:)`` does, for code that needs a file descriptor.
    ///
    /// The result is one end of a pair of connected unix sockets, in blocking mode. The caller must close it. It works
    /// as long as this client is retained. A reader cannot tell a broken stream from one that ended: both are an end of
    /// file. A write after the end raises SIGPIPE, unless the program ignores that signal or sends with MSG_NOSIGNAL.
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
        let unspecified = Destination(host: .address(IPAddress(v4: 0)), port: 0)
        try await open(number) { .open(number, .datagrams, unspecified, isolation: isolation, $0) }
        return TunicDatagrams(number, sender, self)
    }

    /// Ends all streams, tells the nodes, and returns when the thread has closed its files and sockets.
    public func shutDown() async {
        do throws(TunicError) { try await ask { .shutDown($0) } } catch {
            // The client has ended already.
        }
    }

    /// Opens the stream `number`; if this throws, the stream is gone.
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

    /// Sends a command and waits for the reply; if the task is cancelled, the command `cancel` ends the wait.
    static func ask<Value>(
        _ sender: Mailbox<Command>.Sender, orElse cancel: Command?, _ command: (@escaping Reply<Value>) -> Command
    ) async throws(TunicError) -> Value {
        let reply: Result<Value, TunicError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let asked = command { continuation.resume(returning: $0) }
                guard sender.send(asked) else { return asked.refuse() }
                // A cancellation before the command had no effect.
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

    /// The destination of `host` and `port`.
    static func destination(_ host: String, _ port: UInt16) throws(TunicError) -> Destination {
        guard port != 0 else { throw .badDestination }
        if let address = IPAddress(host) { return Destination(host: .address(address), port: port) }
        guard let name = HostName(host) else { throw .badDestination }
        return Destination(host: .name(name), port: port)
    }
}
