import CCares
import CLibUV
import Glibc

/// Looks up names and addresses in /etc/hosts and at the system's name servers, without blocking the loop.
///
/// Search domains and host aliases of the system are not applied: a name is looked up as given. When the system's list
/// of name servers changes, pending queries are also sent to the new ones.
///
/// It has more members than most types: what c-ares holds, and what is told outside of its calls.
@safe
public final class Resolver {
    /// The address families to ask for.
    public enum Family: Sendable {
        /// Only IPv4.
        case ipv4Only
        /// Only IPv6.
        case ipv6Only
        /// Both, with IPv4 first in the answer.
        case ipv4First
        /// Both, with IPv6 first in the answer.
        case ipv6First
    }

    /// The servers and limits of look-ups.
    public struct Configuration: Sendable {
        /// The name servers as `host:port` or `host`; nil for those in `file`.
        public var servers: [String]?
        /// The system's list of name servers.
        public var file = "/etc/resolv.conf"
        /// The port of the servers in `file`.
        public var port: UInt16 = 53
        /// How often `file` is checked while there are queries, in nanoseconds.
        public var fileInterval: UInt64 = 1_000_000_000
        /// Nanoseconds after which a query fails.
        public var timeout: UInt64 = 10_000_000_000
        /// The most queries under way at a time.
        public var maximumQueries = 8_192

        /// The default values: the system's servers, 10 seconds, 8,192 queries.
        public init() {}
    }

    /// Identifies a query under way, to cancel it.
    public struct Query: Hashable, Sendable {
        let number: UInt64
    }

    /// The result of a query: at least one address and at most ``maximumAddresses``, or the error.
    public typealias Answer = Result<[SocketAddress], ResolverError>

    /// The result of a query for a name: the name as received, which may not be a host name, or the error.
    public typealias NameAnswer = Result<String, ResolverError>

    /// The result of a query for records: the name server's message, or the error.
    public typealias MessageAnswer = Result<[UInt8], ResolverError>

    /// The most addresses in an answer.
    public static let maximumAddresses = 16

    struct Pending {
        let wanted: Wanted
        let question: Question
        let deadline: UInt64
    }

    /// The question of a query.
    enum Question {
        case addresses(name: String, Family)
        case name(SocketAddress)
        case records(name: String, type: UInt16)
    }

    /// The kind of answer that a query expects, and its callback.
    enum Wanted {
        case addresses(port: UInt16, family: Family, callback: (Answer) -> Void)
        case name(callback: (NameAnswer) -> Void)
        case message(callback: (MessageAnswer) -> Void)

        func tell(_ found: Found) {
            switch (self, found) {
            case (.addresses(_, _, let callback), .addresses(let addresses)): callback(.success(addresses))
            case (.addresses(_, _, let callback), .none(let error)): callback(.failure(error))
            case (.name(let callback), .name(let name)): callback(.success(name))
            case (.name(let callback), .none(let error)): callback(.failure(error))
            case (.message(let callback), .message(let message)): callback(.success(message))
            case (.message(let callback), .none(let error)): callback(.failure(error))
            case (.addresses, _), (.name, _), (.message, _): preconditionFailure("an answer to another kind of query")
            }
        }
    }

    /// The result of a query.
    enum Found {
        case addresses([SocketAddress])
        case name(String)
        case message([UInt8])
        case none(ResolverError)
    }

    let loop: Loop
    let configuration: Configuration
    var channel: ares_channel?
    var timer: LoopTimer?
    var sockets: [Int32: ResolverSocket] = [:]
    /// Queries whose callback is still to be called.
    var pending: [UInt64: Pending] = [:]
    /// Results found by c-ares or without it; their callbacks are called outside of c-ares.
    var answered: [(number: UInt64, found: Found)] = []
    /// Queries that c-ares still works on, cancelled and late ones included; true if one was counted as unanswered.
    var working: [UInt64: Bool] = [:]
    /// Queries that are over, told outside of c-ares.
    private var over: [UInt64] = []
    private let ended: (Query) -> Void
    private var nextNumber = UInt64(0)
    /// No pending query has a lower number.
    private var oldest: UInt64 = 0
    /// Whether c-ares is running: its callbacks then only note results.
    var isProcessing = false
    /// Whether the channel is being replaced; the queries that c-ares gives up are repeated.
    var isReopening = false
    var fileVersion: FileVersion?
    var nextLook: UInt64 = 0
    /// How many times in a row a query has ended without an answer of any name server.
    var unanswered = 0

    /// A resolver with the system's or the given servers.
    ///
    /// `ended` is called once for each query when no work on it is left, after its callback, on the loop. A cancelled
    /// query is over only when c-ares has given it up too. It is not called after ``close()``.
    public init(
        on loop: Loop, configuration: Configuration = Configuration(), ended: @escaping (Query) -> Void = { _ in }
    ) throws(UVError) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        self.loop = loop
        self.configuration = configuration
        self.ended = ended
        timer = LoopTimer(on: loop) { [unowned self] in timerFired() }

        if loop.host == nil { fileVersion = version() }
        nextLook = loop.now &+ configuration.fileInterval
        try open()
    }

    /// For tests only: opening a channel fails for lack of memory.
    var cannotOpen = false

    deinit { close() }

    /// Looks up `name`; the callback is called once, on the loop, never inside this call.
    ///
    /// The addresses have `port`. A numeric address is its own result, whatever the family. `localhost` and names below
    /// it are the loopback addresses (RFC 6761, 6.3), without asking a name server: not every machine has them in its
    /// hosts file.
    @discardableResult
    public func resolve(
        _ name: String, port: UInt16, family: Family, callback: @escaping (Answer) -> Void
    ) -> Query {
        let wanted = Wanted.addresses(port: port, family: family, callback: callback)
        let number = begin(wanted, .addresses(name: name, family))
        if let address = SocketAddress(numericHost: name, port: port) {
            answered.append((number, .addresses([address])))
        } else if !Self.isValid(name) {
            answered.append((number, .none(.invalidName)))
        } else if Self.isLoopback(name) {
            answered.append((number, .addresses(Self.loopback(port: port, family))))
        } else {
            ask(.addresses(name: name, family), number)
        }
        setTimer()
        return Query(number: number)
    }

    /// Looks up the name of an address, whatever its port; the callback is called once, on the loop, never inside this
    /// call.
    @discardableResult
    public func name(of address: SocketAddress, callback: @escaping (NameAnswer) -> Void) -> Query {
        let number = begin(.name(callback: callback), .name(address))
        ask(.name(address), number)
        setTimer()
        return Query(number: number)
    }

    /// Asks the name servers, and not the hosts file, for the records of `name` of one type.
    ///
    /// The callback is called once, on the loop, never inside this call. It gets the name server's message, which may
    /// be malformed, even if the message has no record of the type.
    @discardableResult
    public func records(
        of name: String, type: UInt16, callback: @escaping (MessageAnswer) -> Void
    ) -> Query {
        let number = begin(.message(callback: callback), .records(name: name, type: type))
        if Self.isValid(name) {
            ask(.records(name: name, type: type), number)
        } else {
            answered.append((number, .none(.invalidName)))
        }
        setTimer()
        return Query(number: number)
    }

    private func begin(_ wanted: Wanted, _ question: Question) -> UInt64 {
        loop.assertOnThread()
        lookAtFile()
        let number = nextNumber
        nextNumber += 1
        pending[number] = Pending(
            wanted: wanted, question: question, deadline: loop.now &+ configuration.timeout)
        return number
    }

    /// Whether no name server has answered lately: the last queries, three or more, all ended without an answer.
    public var isUnanswered: Bool { unanswered >= 3 }

    /// Forgets a query: its callback is let go of and not called.
    ///
    /// c-ares goes on with it until its own time is up, and it counts until then.
    public func cancel(_ query: Query) {
        loop.assertOnThread()
        guard pending.removeValue(forKey: query.number) != nil, working[query.number] == nil,
            !answered.contains(where: { $0.number == query.number })
        else { return }
        noteOver(query.number)
        setTimer()
    }

    /// Notes that a query is over if neither an answer nor c-ares is waited for; has no effect after ``close()``.
    func noteOver(_ number: UInt64) {
        if pending[number] == nil, working[number] == nil, timer != nil { over.append(number) }
    }

    /// Cancels all queries and closes the sockets; has no effect the second time.
    public func close() {
        loop.assertOnThread()
        pending = [:]
        working = [:]
        if let old = unsafe channel {
            unsafe channel = nil
            isProcessing = true
            unsafe ares_destroy(old)
            isProcessing = false
        }
        answered = []
        over = []
        timer?.close()
        timer = nil
        for socket in sockets.values { socket.close() }
        sockets = [:]
    }

    // MARK: - Events

    /// Lets c-ares read and write, or only check its timeouts.
    func process(reading: Int32, writing: Int32) {
        guard !isProcessing else { return }
        if let channel = unsafe channel {
            isProcessing = true
            unsafe ares_process_fd(channel, reading, writing)
            isProcessing = false
        }
        deliver()
        setTimer()
    }

    private func timerFired() {
        lookAtFile()
        process(reading: -1, writing: -1)
    }

    /// Delivers the results of finished and late queries, then tells which are over.
    private func deliver() {
        let count = answered.count
        var told = 0
        // A result stays in the list until its callback has been called, so that a query that an earlier callback
        // cancels is over only once. `close()` in a callback empties the list.
        while told < min(count, answered.count) {
            let (number, found) = answered[told]
            told += 1
            pending.removeValue(forKey: number)?.wanted.tell(found)
            noteOver(number)
        }
        answered.removeFirst(min(told, answered.count))
        let now = loop.now
        while let first = firstPending, first.deadline <= now {
            unanswered += 1
            // c-ares will give it up too, which is no second query without an answer.
            if working[first.number] != nil { working[first.number] = true }
            pending.removeValue(forKey: first.number)?.wanted.tell(.none(.timedOut))
            noteOver(first.number)
        }
        let ends = over
        over = []
        for number in ends where timer != nil { ended(Query(number: number)) }
    }

    /// The query that has waited longest: all have the same time limit, so numbers are in the order of deadlines.
    private var firstPending: (number: UInt64, deadline: UInt64)? {
        while oldest < nextNumber {
            if let query = pending[oldest] { return (oldest, query.deadline) }
            oldest += 1
        }
        return nil
    }

    /// Sets the timer for c-ares' timeout and the first deadline, or for now if results wait.
    private func setTimer() {
        guard answered.isEmpty, over.isEmpty else {
            timer?.schedule(at: loop.now)
            return
        }
        var deadline = firstPending?.deadline ?? .max
        var interval = timeval()
        if let channel = unsafe channel, unsafe ares_timeout(channel, nil, &interval) != nil {
            let wait = UInt64(max(interval.tv_sec, 0)) * 1_000_000_000 + UInt64(max(interval.tv_usec, 0)) * 1000
            deadline = min(deadline, loop.now + wait)
        }
        if followsFile, !pending.isEmpty { deadline = min(deadline, nextLook) }
        if deadline == .max { timer?.cancel() } else { timer?.schedule(at: deadline) }
    }
}
