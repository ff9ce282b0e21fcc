internal import EventLoop
internal import Links
internal import Logging
internal import SocksProtocol
internal import Wire

/// The addresses at which apps can connect, over SOCKS and HTTP, and the connected apps.
final class ProxyPorts {
    /// An open address.
    private struct Port {
        let address: ProxyAddress
        let socket: StreamListener
        let number: Int
    }

    private let loop: Loop
    private let log: Logger
    /// The source of the apps' sessions.
    let sessions: any SessionSource
    let associations: Associations
    /// The rule for what exits are asked for and apps are told.
    let answers: AnswerRule
    /// How long an app may take to send its request.
    let handshakeLimit: TimeSpan
    let apps: AppConnections
    private var ports: [Port] = []
    /// The rules of each port, by number; those of a closed port stay while an app of that port is connected.
    private(set) var rules: [Int: ProxyListener] = [:]
    private var nextNumber = 0
    private var hasWarnedOfAddress = false
    /// Until when no further full table is logged.
    private var fullSaidUntil: [String: Instant] = [:]
    /// Whose app a connection belongs to.
    var owner: (ByteStream) -> KeyOwner = KeyOwner.of

    /// Opens the addresses of `configuration`.
    init(
        on loop: Loop, configuration: ClientConfiguration, sessions: any SessionSource, associations: Associations,
        answers: AnswerRule, log: Logger
    ) throws(UVError) {
        self.loop = loop
        self.log = log
        self.sessions = sessions
        self.associations = associations
        self.answers = answers
        handshakeLimit = configuration.handshakeLimit
        apps = AppConnections(limit: configuration.appLimit)
        do throws(UVError) {
            for listener in configuration.listeners { ports.append(try open(listener)) }
        } catch {
            // Leaves no socket file behind.
            close()
            throw error
        }
    }

    /// The addresses at which apps can connect.
    var addresses: [ProxyAddress] {
        ports.map { $0.socket.localAddress.map { .tcp(Endpoint($0)) } ?? $0.address }
    }

    /// The flags of each address, in configuration-file syntax.
    var flags: [[String]] { ports.map { rules(of: $0.number).flags } }

    // MARK: Apps

    private func accepted(_ socket: ByteStream, by port: Int) {
        // For TCP, `ByteStream` checks this on accepting; it accepts any unix connection, because of the control
        // socket.
        guard socket.kind == .tcp || loop.hasDescriptorsToSpare else { return socket.close() }
        let owner = self.owner(socket)
        if apps.isFull { noteFull("connections of apps") }
        guard apps.makeRoom(for: owner, Instant(nanoseconds: loop.now)) else { return socket.close() }
        apps.add(SocksConnection(socket: socket, of: owner, listener: port, ports: self))
    }

    /// Begins an association of `owner`, which `giveUp` ends for another owner's; nil at the limit.
    func beginAssociation(for owner: KeyOwner?, giveUp: @escaping () -> Void) -> UInt64? {
        if associations.isFull { noteFull("UDP associations") }
        return associations.begin(for: owner, giveUp: giveUp)
    }

    /// Logs that there are too many `things` of apps, at most once a minute for each.
    func noteFull(_ things: String) {
        let now = Instant(nanoseconds: loop.now)
        if let until = fullSaidUntil[things], now < until { return }
        fullSaidUntil[things] = now + .seconds(60)
        log.warning("the \(things) have reached their limit; one ended for a new one, or this was turned away")
    }

    /// The rules for apps at the port `number`.
    func rules(of number: Int) -> ProxyListener {
        guard let rules = rules[number] else {
            preconditionFailure("the rules of a listener outlive its apps")
        }
        return rules
    }

    /// Whether an app at the port `number` may reach `host`, which is not in this machine's own network.
    ///
    /// An app that asks for an address may have looked up its name without Tunic. That is logged once, and refused if
    /// the port allows only names. Addresses that are not public, and those of Tunic's own checks, are not logged.
    func admits(_ host: Destination.Host, at number: Int, isCheck: Bool = false) -> Bool {
        guard case .address(let address) = host else { return answers.mayAsk(for: host) }
        guard let rules = rules[number] else { return false }
        let refused = rules.namesOnly
        if !isCheck, address.isPublic { noteAddress(refused: refused) }
        return !refused && answers.mayAsk(for: host)
    }

    private func noteAddress(refused: Bool) {
        guard !hasWarnedOfAddress else { return }
        hasWarnedOfAddress = true
        let what = refused ? "is refused, for it asks" : "asks"
        log.warning(
            "an app \(what) for an address instead of a name; if it looked a name up by itself, others have seen the name"
        )
    }

    // MARK: Ports

    private func open(_ listener: ProxyListener) throws(UVError) -> Port {
        let number = nextNumber
        let socket: StreamListener
        do throws(UVError) {
            socket = try listener.address.listen(on: loop) { [weak self] in
                if let self { accepted($0, by: number) } else { $0.close() }
            }
        } catch {
            throw error.at(listener.address.description)
        }
        rules[number] = listener
        nextNumber += 1
        return Port(address: listener.address, socket: socket, number: number)
    }

    /// Opens the addresses of `wanted` that are not open yet.
    ///
    /// `commit` closes the addresses that `wanted` does not name, and applies its rules to the others; `abandon` closes
    /// the new ones. Connected apps stay connected.
    func prepare(_ wanted: [ProxyListener]) throws(UVError) -> (commit: () -> Void, abandon: () -> Void) {
        var opened: [Port] = []
        var kept: [(number: Int, rules: ProxyListener)] = []
        do throws(UVError) {
            for listener in wanted {
                let taken = kept.map(\.number)
                let there = ports.first { $0.address == listener.address && !taken.contains($0.number) }
                if let there { kept.append((there.number, listener)) } else { opened.append(try open(listener)) }
            }
        } catch {
            for port in opened { port.socket.close() }
            forgetRules()
            throw error
        }
        return (
            commit: { [self] in
                for port in ports where !kept.contains(where: { $0.number == port.number }) { port.socket.close() }
                ports.removeAll { port in !kept.contains { $0.number == port.number } }
                for (number, listener) in kept { rules[number] = listener }
                ports += opened
                forgetRules()
            },
            abandon: { [self] in
                for port in opened { port.socket.close() }
                forgetRules()
            }
        )
    }

    /// Forgets the rules of closed ports without connected apps.
    private func forgetRules() {
        let used = Set(ports.map(\.number)).union(apps.all.values.map(\.listener))
        rules = rules.filter { used.contains($0.key) }
    }

    /// Stops listening; connected apps stay connected.
    func close() { for port in ports { port.socket.close() } }
}
