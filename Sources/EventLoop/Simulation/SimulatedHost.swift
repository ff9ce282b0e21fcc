import CLibUV
import Glibc

/// A machine of a simulated network: its addresses, its clock, and the open handles of its loop.
///
/// It has more members than most types: all that a kernel holds for one machine.
package final class SimulatedHost {
    /// The world that it belongs to.
    package unowned let world: SimulatedWorld
    /// Its index in ``SimulatedWorld/hosts``.
    package let number: Int
    /// The properties of its network line.
    package var line: SimulatedLine
    /// Its addresses, with port 0.
    package private(set) var addresses: [SocketAddress] = []
    /// Whether the host is disconnected: no packet comes or goes.
    package var isCut = false
    /// Whether the kernel takes no packet that it sends, as with a full socket buffer.
    package var isSendBlocked = false {
        didSet {
            guard oldValue, !isSendBlocked else { return }
            later { [unowned self] in
                for (_, socket) in sockets.sorted(by: { $0.key < $1.key }) { socket.becameWritable() }
            }
        }
    }
    /// How far its wall clock is ahead, in nanoseconds; negative if behind.
    package var clockError: Int64 = 0
    /// How long it has slept, in nanoseconds: its clocks have gone on, that of its loop has not.
    package var slept: UInt64 = 0
    /// The clock that runs on while it sleeps.
    var runningClock: UInt64 { world.now + slept }

    /// Counts the loops that it has had.
    private(set) var generation = 0
    private weak var loop: Loop?
    /// The calls to run in the next turn.
    var calls: [() -> Void] = []
    var isReady = false
    private var isInTurn = false
    private var wakes = false
    /// The time for which an alarm is posted.
    private var armedFor = UInt64.max
    private var sockets: [UInt32: SimulatedSocket] = [:]
    private var ports: [UInt32: SimulatedPort] = [:]
    private var readable: [SimulatedSocket] = []
    /// The open sockets, listeners and streams, by number.
    private var handles: [Int: any SimulatedHandle] = [:]
    private var nextHandle = 0
    private var nextPort: UInt16 = 32_768
    /// When the line will have sent all packets passed to it.
    private var busyUntil: UInt64 = 0
    /// The hosts of this machine's other workers, by number; see ``addWorker(_:)``.
    private var workers: [(number: UInt8, host: SimulatedHost)] = []
    /// The host of worker 0, if this is another worker's.
    private weak var first: SimulatedHost?

    /// The delay of a packet from the host to itself, in nanoseconds.
    static let localDelay: UInt64 = 20_000

    init(world: SimulatedWorld, number: Int, line: SimulatedLine) {
        self.world = world
        self.number = number
        self.line = line
    }

    var wallClock: UInt64 {
        let right = world.wallClockAtStart + world.elapsed + slept
        return clockError < 0 ? right - clockError.magnitude : right + clockError.magnitude
    }

    // MARK: - Addresses

    /// Gives the host other addresses; sockets bound to all addresses then send from these.
    package func move(to addresses: [SocketAddress]) {
        let old = self.addresses
        self.addresses = addresses.map { $0.with(port: 0) }
        world.register(self, leaving: old)
        for worker in workers { worker.host.addresses = self.addresses }
    }

    /// Adds the host of a worker other than worker 0, whose sockets share this one's addresses, ports and line.
    ///
    /// A datagram goes to the worker that its byte at offset 3 names if that one has a socket at its port, as in a
    /// ``DatagramGroup``.
    func addWorker(_ number: UInt8) -> SimulatedHost {
        let worker = world.addHost(at: [], line: line)
        worker.addresses = addresses
        worker.first = self
        workers.append((number, worker))
        return worker
    }

    private func worker(for bytes: [UInt8], at target: SocketAddress) -> SimulatedHost? {
        guard !workers.isEmpty, bytes.count > 3, bytes[3] > 0 else { return nil }
        return workers.first { $0.number == bytes[3] && $0.host.sockets[Self.key(target)] != nil }?.host
    }

    private static func isLoopback(_ address: SocketAddress) -> Bool {
        if let ipv4 = address.ipv4 { ipv4 >> 24 == 127 } else { address.high == 0 && address.low == 1 }
    }

    /// Whether packets to `address` stay on this host.
    func owns(_ address: SocketAddress) -> Bool {
        Self.isLoopback(address) || addresses.contains(address.with(port: 0))
    }

    func hasRoute(to address: SocketAddress) -> Bool { source(for: address) != nil }

    /// The address from which the host sends to another.
    private func source(for target: SocketAddress) -> SocketAddress? {
        if Self.isLoopback(target) { return target.isIPv4 ? .loopbackIPv4(port: 0) : .loopbackIPv6(port: 0) }
        return addresses.first { $0.isIPv4 == target.isIPv4 }
    }

    private static func key(_ address: SocketAddress) -> UInt32 {
        UInt32(address.port) | (address.isIPv4 ? 0 : 1 << 16)
    }

    /// An address to bind to, with a free port if its port is 0.
    private func bound(_ address: SocketAddress, isTaken: (UInt32) -> Bool) throws(UVError) -> SocketAddress {
        let isOwn = if address.isAny { hasRoute(to: address) } else { owns(address) }
        guard isOwn else {
            throw UVError(code: address.isAny ? UV_EAFNOSUPPORT.rawValue : UV_EADDRNOTAVAIL.rawValue, call: "bind")
        }
        if address.port != 0 {
            guard !isTaken(Self.key(address)) else { throw UVError(code: UV_EADDRINUSE.rawValue, call: "bind") }
            return address
        }
        var found = address
        repeat {
            nextPort = nextPort == .max ? 32_768 : nextPort + 1
            found = address.with(port: nextPort)
        } while isTaken(Self.key(found))
        return found
    }

    // MARK: - Turns

    func attach(_ loop: Loop) {
        precondition(self.loop?.isClosed ?? true, "a host has one loop at a time")
        self.loop = loop
        generation += 1
        calls = []
        wakes = false
    }

    /// Makes the loop take one more turn.
    func wake() {
        wakes = true
        if !isInTurn { arm(nil) }
    }

    /// Runs `work` in the loop's next turn.
    func later(_ work: @escaping () -> Void) {
        calls.append(work)
        wake()
    }

    /// Runs `work` in a turn at `time`, unless the loop is closed by then.
    func call(at time: UInt64, _ kind: StaticString, _ work: @escaping () -> Void) {
        world.post(.call(self, generation: generation, kind, work), at: time)
    }

    /// Runs `work` in a turn at `time`, of the loop that the host has at that time.
    func callAny(at time: UInt64, _ kind: StaticString, _ work: @escaping () -> Void) {
        world.post(.call(self, generation: nil, kind, work), at: time)
    }

    /// Runs a job of ``Loop/work(_:completion:)`` after a random time of 0.1 to 1 ms.
    func work(_ job: @escaping () -> Void) {
        call(at: world.now + 100_000 + world.random.below(900_000), "work", job)
    }

    /// Posts an alarm for the loop's next deadline, or for a requested turn.
    func arm(_ deadline: UInt64?) {
        let soon = world.now + SimulatedWorld.turnTime
        let time = wakes ? soon : max(deadline ?? .max, soon)
        guard time < armedFor else { return }
        armedFor = time
        world.post(.turn(self), at: time)
    }

    /// Handles timers and packets that were set and queued outside of a turn.
    func review() {
        guard let loop, !loop.isClosed else { return }
        if unsafe loop.transmits.pointee.first != nil { wakes = true }
        arm(loop.timers.settledFirstDeadline())
    }

    /// Takes a turn if a timer is due, or a turn was requested.
    func alarm(at time: UInt64) {
        guard time == armedFor else { return }
        armedFor = .max
        guard let loop, !loop.isClosed else { return }
        if wakes { return world.makeReady(self) }
        guard let deadline = loop.timers.settledFirstDeadline() else { return }
        if deadline <= time { world.makeReady(self) } else { arm(deadline) }
    }

    func turn() {
        isReady = false
        wakes = false
        isInTurn = true
        defer { isInTurn = false }
        let work = calls
        calls = []
        loop?.refreshNow()
        for item in work { item() }
        let arrivals = readable
        readable = []
        for socket in arrivals { socket.deliver() }
        if !calls.isEmpty || !readable.isEmpty { wakes = true }
        guard let loop, !loop.isClosed else { return }
        world.note(number, "turn", 0)
        loop.endTurn()
    }

    /// Closes everything that is open on the loop.
    func closeAll() {
        for (_, handle) in handles.sorted(by: { $0.key < $1.key }) { handle.closeOwner() }
        generation += 1
        calls = []
        readable = []
        (wakes, armedFor) = (false, .max)
    }

    func open(_ handle: any SimulatedHandle) -> Int {
        nextHandle += 1
        handles[nextHandle] = handle
        return nextHandle
    }

    func closed(_ number: Int) { handles[number] = nil }

    /// How many sockets, listeners and streams are open.
    package var openCount: Int { handles.count }

    // MARK: - Datagrams

    func bind(
        _ address: SocketAddress, _ configuration: DatagramSocket.Configuration
    ) throws(UVError) -> SimulatedSocket {
        let address = try bound(address) { sockets[$0] != nil }
        let socket = SimulatedSocket(on: self, address: address, limit: configuration.kernelBufferSize)
        sockets[Self.key(address)] = socket
        return socket
    }

    func release(_ socket: SimulatedSocket) {
        sockets[Self.key(socket.address)] = nil
        readable.removeAll { $0 === socket }
    }

    /// Passes a datagram to its socket.
    func arrive(_ bytes: [UInt8], from source: SocketAddress, to target: SocketAddress) {
        if let worker = worker(for: bytes, at: target) { return worker.arrive(bytes, from: source, to: target) }
        guard let socket = sockets[Self.key(target)],
            socket.address.isAny || socket.address.with(port: 0) == target.with(port: 0),
            socket.append(bytes, from: source)
        else {
            world.traffic.refused += 1
            return
        }
        if !socket.isPaused {
            makeReadable(socket)
            world.makeReady(self)
        }
    }

    func makeReadable(_ socket: SimulatedSocket) {
        guard !socket.isListed else { return }
        socket.isListed = true
        readable.append(socket)
    }

    /// Sends a datagram of a socket bound to `address`: 0, or a negative errno.
    func send(_ bytes: UnsafeRawBufferPointer, boundTo address: SocketAddress, to target: SocketAddress) -> Int {
        guard let source = source(for: target) else { return -Int(ENETUNREACH) }
        let from = address.isAny ? source.with(port: address.port) : address
        unsafe world.carry(bytes, of: first ?? self, from: from, to: target)
        return 0
    }

    /// When a packet that is passed to the line now has been sent; nil if the line's queue is full.
    func depart(_ size: Int) -> UInt64? {
        guard line.rate > 0 else { return world.now }
        let start = max(busyUntil, world.now)
        guard start - world.now <= line.queue else { return nil }
        busyUntil = start + UInt64(size + 28) * 1_000_000_000 / line.rate
        return busyUntil
    }

    // MARK: - Streams

    func listen(_ address: SocketAddress) throws(UVError) -> SimulatedPort {
        let address = try bound(address) { ports[$0] != nil }
        let port = SimulatedPort(on: self, address: address)
        ports[Self.key(address)] = port
        return port
    }

    func release(_ port: SimulatedPort) { ports[Self.key(port.address)] = nil }

    /// The port that accepts connections to `address`.
    func port(at address: SocketAddress) -> SimulatedPort? {
        guard let port = ports[Self.key(address)],
            port.address.isAny || port.address.with(port: 0) == address.with(port: 0)
        else { return nil }
        return port
    }

    /// Begins a connection.
    func connect(to target: SocketAddress, from: SocketAddress?) throws(UVError) -> SimulatedEnd {
        guard let source = source(for: target) else { throw UVError(code: UV_ENETUNREACH.rawValue, call: "connect") }
        nextPort = nextPort == .max ? 32_768 : nextPort + 1
        let end = SimulatedEnd(on: self, local: from ?? source.with(port: nextPort), remote: target)
        end.begin()
        return end
    }

    // MARK: - Names

    /// Asks the world's name servers; nil after `patience` nanoseconds if they do not answer.
    func ask(_ name: String, patience: UInt64, callback: @escaping ([SocketAddress]?) -> Void) {
        guard world.answersNames, world.silentNames?(name) != true else {
            return call(at: world.now + patience, "no name") { callback(nil) }
        }
        call(at: world.now + 5_000_000 + world.random.below(20_000_000), "name") { [world] in
            callback(world.names[name] ?? [])
        }
    }
}

/// A socket, listener or stream of a simulated host.
protocol SimulatedHandle: AnyObject {
    /// Closes the socket, listener or stream.
    func closeOwner()
}
