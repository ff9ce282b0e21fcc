internal import Client
internal import Directory
internal import EventLoop
internal import Glibc
internal import Logging
internal import Store
internal import Synchronization
internal import Wire

/// Receives the result of a request, once.
typealias Reply<Value: Sendable> = @Sendable (Result<Value, TunicError>) -> Void

/// A command from another thread to the client's thread.
enum Command: Sendable {
    case waitUntilReady(UInt64, Reply<Void>)
    /// A task that waited for a path, or for a stream to open, was cancelled or has failed.
    case giveUp(UInt64)
    case open(UInt64, AppStream.Kind, Destination, isolation: String, Reply<Void>)
    /// Opens a stream whose bytes pass through this socket, which the client owns from then on.
    case openSocket(UInt64, Int32, Destination, isolation: String, Reply<Void>)
    case read(UInt64, limit: Int, Operation, Reply<[UInt8]>)
    case write(UInt64, [UInt8], Operation, Reply<Void>)
    case send(UInt64, [UInt8], to: Destination, Reply<Void>)
    case receive(UInt64, Operation, Reply<TunicDatagram>)
    case finish(UInt64)
    /// Ends a pending operation, because its task was cancelled.
    case cancel(UInt64, Operation)
    case close(UInt64)
    case shutDown(Reply<Void>)

    /// Fails the command, because the client has ended.
    func refuse() {
        switch self {
        case .waitUntilReady(_, let reply), .open(_, _, _, _, let reply), .write(_, _, _, let reply),
            .send(_, _, _, let reply):
            reply(.failure(.closed))
        case .openSocket(_, let descriptor, _, _, let reply):
            Glibc.close(descriptor)
            reply(.failure(.closed))
        case .read(_, _, _, let reply): reply(.failure(.closed))
        case .receive(_, _, let reply): reply(.failure(.closed))
        case .shutDown(let reply): reply(.success(()))
        case .giveUp, .finish, .cancel, .close: break
        }
    }
}

/// The number of a read, a write or a wait for a datagram; no two of a client are equal.
typealias Operation = UInt64

/// A client with a thread and a loop of its own.
///
/// Everything except `start` runs on that thread.
final class Engine {
    private let loop: Loop
    private let client: Client
    private let streamLimit: Int
    private var mailbox: Mailbox<Command>?
    private var streams: [UInt64: StreamEnd] = [:]
    /// Closures that give up the streams with sockets that no exit has answered yet.
    private var opening: [UInt64: () -> Void] = [:]
    private var waiting: [UInt64: Reply<Void>] = [:]
    private var isReady = false
    private var shutDown: [Reply<Void>] = []

    /// Starts the thread, and calls `reply` there with the sender for commands.
    static func start(_ configuration: TunicConfiguration, _ reply: @escaping Reply<Mailbox<Command>.Sender>) {
        let started = Thread.start {
            var end: [Reply<Void>] = []
            do throws(TunicError) {
                let engine = try Engine(configuration)
                guard let sender = engine.mailbox?.sender else { return reply(.failure(.closed)) }
                reply(.success(sender))
                end = engine.run()
            } catch {
                reply(.failure(error))
            }
            // Another client may use the folder from now on.
            for reply in end { reply(.success(())) }
        }
        if !started { reply(.failure(.system("no thread can be made"))) }
    }

    private init(_ configuration: TunicConfiguration) throws(TunicError) {
        let file: NetworkFile
        do { file = try NetworkFile(json: configuration.networkFile) } catch { throw .networkFile("\(error)") }
        guard (1...4).contains(configuration.hops) else { throw .system("a path has 1 to 4 hops") }
        streamLimit = configuration.streamLimit
        let store: Store
        do throws(StoreError) {
            store = try Store(folder: FileBytes.absolute(configuration.dataFolder))
        } catch {
            if case .inUse = error { throw .inUse(error.description) }
            throw .dataFolder(error.description)
        }
        do throws(UVError) { loop = try Loop(blocksBrokenPipes: true) } catch { throw .system(error.description) }
        do {
            var own = ClientConfiguration(socks: [])
            own.hops = configuration.hops
            client = try Client(
                loop: loop, network: file, configuration: own, store: store, log: configuration.log,
                sentence: \.text)
            // Waiting tasks bound most commands, and those without one, such as a close, must not get lost.
            mailbox = try Mailbox<Command>(on: loop, capacity: .max) { [unowned self] in perform($0) }
        } catch {
            loop.close()
            if let error = error as? StoreError { throw .dataFolder(error.description) }
            throw .system("\(error)")
        }
    }

    /// Runs until the client is shut down; returns the replies to give when the engine is released.
    private func run() -> [Reply<Void>] {
        client.start { [unowned self] in
            isReady = true
            for reply in waiting.values { reply(.success(())) }
            waiting = [:]
        }
        loop.run()
        for stream in streams.values { stream.end(.closed) }
        streams = [:]
        for reply in waiting.values { reply(.failure(.closed)) }
        for command in mailbox?.close() ?? [] {
            if case .shutDown(let reply) = command { shutDown.append(reply) } else { command.refuse() }
        }
        mailbox = nil
        loop.close()
        return shutDown
    }

    private func perform(_ command: Command) {
        switch command {
        case .waitUntilReady(let number, let reply):
            if isReady {
                reply(.success(()))
            } else if shutDown.isEmpty {
                waiting[number] = reply
            } else {
                reply(.failure(.closed))
            }
        case .giveUp(let number):
            waiting.removeValue(forKey: number)?(.failure(.cancelled))
            opening.removeValue(forKey: number)?()
            streams.removeValue(forKey: number)?.end(.cancelled)
        case .open(let number, let kind, let destination, let isolation, let reply):
            guard mayOpen(reply) else { return }
            let end = StreamEnd(reply)
            streams[number] = end
            end.stream = client.open(kind, to: destination, isolation: isolation, user: end)
        case .openSocket(let number, let descriptor, let destination, let isolation, let reply):
            guard mayOpen(reply) else {
                Glibc.close(descriptor)
                return
            }
            do throws(UVError) {
                var isAnswered = false
                let giveUp = try client.open(destination, isolation: isolation, socket: descriptor) {
                    [unowned self] failure in
                    isAnswered = true
                    opening[number] = nil
                    guard let failure else { return reply(.success(())) }
                    reply(.failure(shutDown.isEmpty ? TunicError(failure) : .closed))
                }
                if !isAnswered { opening[number] = giveUp }
            } catch {
                Glibc.close(descriptor)
                reply(.failure(.system(error.description)))
            }
        case .read(let number, let limit, let operation, let reply):
            find(number, reply)?.read(limit, operation, reply)
        case .write(let number, let bytes, let operation, let reply):
            find(number, reply)?.write(bytes, operation, reply)
        case .send(let number, let bytes, let peer, let reply): find(number, reply)?.send(bytes, to: peer, reply)
        case .receive(let number, let operation, let reply): find(number, reply)?.receive(operation, reply)
        case .finish(let number): streams[number]?.finish()
        case .cancel(let number, let operation): streams[number]?.cancel(operation)
        case .close(let number): streams.removeValue(forKey: number)?.end(.closed)
        case .shutDown(let reply):
            shutDown.append(reply)
            guard shutDown.count == 1 else { return }
            for stream in streams.values { stream.end(.closed) }
            client.close { [loop] in loop.stop() }
        }
    }

    /// Whether one more stream may be opened; otherwise `reply` gets the failure.
    private func mayOpen(_ reply: Reply<Void>) -> Bool {
        guard shutDown.isEmpty else {
            reply(.failure(.closed))
            return false
        }
        guard streams.count + client.socketCount < streamLimit else {
            reply(.failure(.tooManyStreams))
            return false
        }
        return true
    }

    private func find<Value>(_ number: UInt64, _ reply: Reply<Value>) -> StreamEnd? {
        guard let end = streams[number] else {
            reply(.failure(.closed))
            return nil
        }
        return end
    }
}

/// A POSIX thread.
private enum Thread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a new detached thread; false if the system gives none.
    static func start(_ body: @escaping @Sendable () -> Void) -> Bool {
        let context = unsafe Unmanaged.passRetained(Body(body)).toOpaque()
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, nil,
            { context in
                // The host's signal handlers run on the host's threads. A write to a broken connection is an error.
                var signals = sigset_t()
                unsafe sigfillset(&signals)
                for own in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP] { unsafe sigdelset(&signals, own) }
                unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
                if let context = unsafe context { unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, context)
        guard result == 0 else {
            unsafe Unmanaged<Body>.fromOpaque(context).release()
            return false
        }
        pthread_detach(thread)
        return true
    }
}
