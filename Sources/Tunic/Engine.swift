internal import Client
internal import Directory
internal import EventLoop
internal import Glibc
internal import Logging
internal import Store
internal import Synchronization
internal import Wire

/// Hears once what became of a request.
typealias Reply<Value: Sendable> = @Sendable (Result<Value, TunicError>) -> Void

/// What other threads ask of the client's.
enum Command: Sendable {
    case waitUntilReady(UInt64, Reply<Void>)
    /// A task that waited for a path, or for a stream to open, was cancelled.
    case giveUp(UInt64)
    case open(UInt64, AppStream.Kind, Destination, isolation: String, Reply<Void>)
    /// A stream whose bytes come and go by a socket of ours, which is the client's from here on.
    case openSocket(Int32, Destination, isolation: String, Reply<Void>)
    case read(UInt64, limit: Int, Reply<[UInt8]>)
    case write(UInt64, [UInt8], Reply<Void>)
    case send(UInt64, [UInt8], to: Destination, Reply<Void>)
    case receive(UInt64, Reply<TunicDatagram>)
    case finish(UInt64)
    /// Ends what waits on the stream: a task that waited was cancelled.
    case cancel(UInt64)
    case close(UInt64)
    case shutDown(Reply<Void>)

    /// Tells who waits that the client is over.
    func refuse() {
        switch self {
        case .waitUntilReady(_, let reply), .open(_, _, _, _, let reply), .write(_, _, let reply),
            .send(_, _, _, let reply):
            reply(.failure(.closed))
        case .openSocket(let descriptor, _, _, let reply):
            Glibc.close(descriptor)
            reply(.failure(.closed))
        case .read(_, _, let reply): reply(.failure(.closed))
        case .receive(_, let reply): reply(.failure(.closed))
        case .shutDown(let reply): reply(.success(()))
        case .giveUp, .finish, .cancel, .close: break
        }
    }
}

/// A client with a thread and a loop of its own.
///
/// All but `send` and `start` happen on that thread.
final class Engine {
    /// How many streams there may be.
    static let streamLimit = 8_192

    private let loop: Loop
    private let client: Client
    private var mailbox: Mailbox<Command>?
    private var streams: [UInt64: StreamEnd] = [:]
    private var waiting: [UInt64: Reply<Void>] = [:]
    private var isReady = false
    private var shutDown: [Reply<Void>] = []

    /// Starts the thread; `reply` is called on it, with the end to send commands to.
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
            // Another may have the folder now.
            for reply in end { reply(.success(())) }
        }
        if !started { reply(.failure(.system("no thread can be made"))) }
    }

    private init(_ configuration: TunicConfiguration) throws(TunicError) {
        let file: NetworkFile
        do { file = try NetworkFile(json: configuration.networkFile) } catch { throw .networkFile("\(error)") }
        guard (1...4).contains(configuration.hops) else { throw .system("a path has 1 to 4 hops") }
        let store: Store
        do throws(StoreError) {
            store = try Store(folder: configuration.dataFolder)
        } catch {
            if case .inUse = error { throw .inUse(error.description) }
            throw .dataFolder(error.description)
        }
        do {
            loop = try Loop(blocksBrokenPipes: true)
            var own = ClientConfiguration(socks: [])
            own.hops = configuration.hops
            client = try Client(
                loop: loop, network: file, configuration: own, store: store, log: configuration.log)
            mailbox = try Mailbox<Command>(on: loop) { [unowned self] in perform($0) }
        } catch {
            throw .system("\(error)")
        }
        client.onReady = { [unowned self] in
            isReady = true
            for reply in waiting.values { reply(.success(())) }
            waiting = [:]
        }
    }

    /// Runs until the client was shut down; who is told then, when the engine is gone.
    private func run() -> [Reply<Void>] {
        client.start()
        loop.run()
        for stream in streams.values { stream.end(.closed) }
        streams = [:]
        for reply in waiting.values { reply(.failure(.closed)) }
        for command in mailbox?.close() ?? [] { command.refuse() }
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
            streams.removeValue(forKey: number)?.end(.cancelled)
        case .open(let number, let kind, let destination, let isolation, let reply):
            guard shutDown.isEmpty else { return reply(.failure(.closed)) }
            guard streams.count < Self.streamLimit else { return reply(.failure(.tooManyStreams)) }
            let end = StreamEnd(reply)
            streams[number] = end
            end.stream = client.open(kind, to: destination, isolation: isolation, user: end)
        case .openSocket(let descriptor, let destination, let isolation, let reply):
            guard shutDown.isEmpty else { return command.refuse() }
            do throws(UVError) {
                try client.open(destination, isolation: isolation, socket: descriptor) { failure in
                    reply(failure.map { .failure(TunicError($0)) } ?? .success(()))
                }
            } catch {
                Glibc.close(descriptor)
                reply(.failure(.system(error.description)))
            }
        case .read(let number, let limit, let reply): find(number, reply)?.read(limit, reply)
        case .write(let number, let bytes, let reply): find(number, reply)?.write(bytes, reply)
        case .send(let number, let bytes, let peer, let reply): find(number, reply)?.send(bytes, to: peer, reply)
        case .receive(let number, let reply): find(number, reply)?.receive(reply)
        case .finish(let number): streams[number]?.finish()
        case .cancel(let number): streams[number]?.cancelWaiting()
        case .close(let number): streams.removeValue(forKey: number)?.end(.closed)
        case .shutDown(let reply):
            shutDown.append(reply)
            guard shutDown.count == 1 else { return }
            for stream in streams.values { stream.end(.closed) }
            client.close { [loop] in loop.stop() }
        }
    }

    private func find<Value>(_ number: UInt64, _ reply: Reply<Value>) -> StreamEnd? {
        guard let end = streams[number] else {
            reply(.failure(.closed))
            return nil
        }
        return end
    }
}

/// One stream and who waits for it, on the client's thread.
final class StreamEnd: AppStreamUser {
    /// How many datagrams that nobody has asked for are kept.
    private static let datagramLimit = 256

    var stream: AppStream?
    private var opening: Reply<Void>?
    private var reading: (limit: Int, reply: Reply<[UInt8]>)?
    private var writing: (rest: ArraySlice<UInt8>, reply: Reply<Void>)?
    private var receiving: Reply<TunicDatagram>?
    private var datagrams: [TunicDatagram] = []
    /// Why it is over, once it is; nil in it: both halves are done.
    private var failure: TunicError??

    init(_ opening: @escaping Reply<Void>) { self.opening = opening }

    func read(_ limit: Int, _ reply: @escaping Reply<[UInt8]>) {
        guard reading == nil else { return reply(.failure(.busy)) }
        reading = (limit, reply)
        advanceReading()
    }

    private func advanceReading() {
        guard let (limit, reply) = reading else { return }
        let bytes = stream?.read(limit) ?? []
        if bytes.isEmpty {
            if case .some(.some(let failure)) = failure {
                reading = nil
                return reply(.failure(failure))
            }
            guard failure != nil || stream?.hasEnded == true else { return }
        }
        reading = nil
        reply(.success(bytes))
    }

    func write(_ bytes: [UInt8], _ reply: @escaping Reply<Void>) {
        guard writing == nil else { return reply(.failure(.busy)) }
        writing = (bytes[...], reply)
        advanceWriting()
    }

    private func advanceWriting() {
        guard let (rest, reply) = writing else { return }
        if let failure {
            writing = nil
            return reply(.failure(failure ?? .closed))
        }
        let taken = stream?.write(Array(rest).rawSpan) ?? 0
        writing = taken == rest.count ? nil : (rest.dropFirst(taken), reply)
        if writing == nil { reply(.success(())) }
    }

    func finish() { stream?.finish() }

    func send(_ bytes: [UInt8], to peer: Destination, _ reply: Reply<Void>) {
        if let failure { return reply(.failure(failure ?? .closed)) }
        reply(stream?.send(bytes.rawSpan, to: peer) == true ? .success(()) : .failure(.notSent))
    }

    func receive(_ reply: @escaping Reply<TunicDatagram>) {
        guard receiving == nil else { return reply(.failure(.busy)) }
        if !datagrams.isEmpty { return reply(.success(datagrams.removeFirst())) }
        if let failure { return reply(.failure(failure ?? .closed)) }
        receiving = reply
    }

    /// Those who wait hear that they were cancelled; the stream goes on.
    func cancelWaiting() { failWaiting(.cancelled) }

    private func failWaiting(_ error: TunicError) {
        let (reading, writing, receiving) = (self.reading, self.writing, self.receiving)
        (self.reading, self.writing, self.receiving) = (nil, nil, nil)
        reading?.reply(.failure(error))
        writing?.reply(.failure(error))
        receiving?(.failure(error))
    }

    /// Gives the stream up.
    func end(_ error: TunicError) {
        stream?.close()
        failure = .some(error)
        opening?(.failure(error))
        opening = nil
        failWaiting(error)
    }

    // MARK: Stream

    func streamOpened(_ stream: AppStream) {
        opening?(.success(()))
        opening = nil
    }

    func streamReadable(_ stream: AppStream) { advanceReading() }
    func streamWritable(_ stream: AppStream) { advanceWriting() }

    func stream(_ stream: AppStream, received data: [UInt8], from peer: Destination) {
        let datagram = TunicDatagram(peer, data)
        if let receiving {
            self.receiving = nil
            receiving(.success(datagram))
        } else if datagrams.count < Self.datagramLimit {
            datagrams.append(datagram)
        }
    }

    func streamEnded(_ stream: AppStream, _ failure: AppStream.Failure?) {
        let error = failure.map { TunicError($0) }
        self.failure = .some(error)
        opening?(.failure(error ?? .closed))
        opening = nil
        advanceReading()
        advanceWriting()
        receiving?(.failure(error ?? .closed))
        receiving = nil
    }
}

/// A thread of the process's own.
private enum Thread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a new thread, which nobody waits for; false when there is none to be had.
    static func start(_ body: @escaping @Sendable () -> Void) -> Bool {
        let context = unsafe Unmanaged.passRetained(Body(body)).toOpaque()
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, nil,
            { context in
                // The host's handlers run on its own threads, and what is written to a broken connection is an error of the write.
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
