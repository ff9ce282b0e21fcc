internal import EventLoop
internal import Links
internal import Logging
internal import SocksProtocol
internal import Wire

/// The addresses at which apps are awaited, over SOCKS and HTTP, and the apps that came there.
final class ProxyPorts {
    /// An address that is open.
    private struct Port {
        let address: ProxyAddress
        let socket: StreamListener
        let number: Int
    }

    private let loop: Loop
    private let log: Logger
    /// Where apps get their streams.
    let sessions: any SessionSource
    let associations: Associations
    /// Which addresses they are told.
    let answers: AnswerRule
    /// How long an app may take to say what it wants.
    let handshakeLimit: TimeSpan
    let apps: AppConnections
    private var ports: [Port] = []
    /// What is kept apart at each port, by number; at closed ones too, as long as an app is connected that came there.
    private(set) var rules: [Int: ProxyListener] = [:]
    private var nextNumber = 0
    private var hasWarnedOfAddress = false

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
            // No socket file is left behind.
            close()
            throw error
        }
    }

    /// Where apps are awaited.
    var addresses: [ProxyAddress] {
        ports.map { $0.socket.localAddress.map { .tcp(Endpoint($0)) } ?? $0.address }
    }

    /// What was said of each of these, in the words of the configuration.
    var flags: [[String]] { ports.map { rules(of: $0.number).flags } }

    // MARK: Apps

    private func accepted(_ socket: ByteStream, by port: Int) {
        // TCP is looked at where it is taken; unix sockets are let through there for the control socket.
        guard socket.kind == .tcp || loop.hasDescriptorsToSpare else { return socket.close() }
        guard apps.makeRoom(Instant(nanoseconds: loop.now)) else { return socket.close() }
        apps.add(SocksConnection(socket: socket, listener: port, ports: self))
    }

    /// What is kept apart, and refused, of apps that come to the port `number`.
    func rules(of number: Int) -> ProxyListener {
        guard let rules = rules[number] else {
            preconditionFailure("the rules of a listener outlive its apps")
        }
        return rules
    }

    /// Whether an app that came to the port `number` may reach `host`.
    ///
    /// Who asks for an address may have looked its name up without us, which is said once, and refused where names only are let out.
    /// Addresses that no name server gives out, and those of our own checks, are not spoken of.
    func admits(_ host: Destination.Host, at number: Int, isCheck: Bool = false) -> Bool {
        guard case .address(let address) = host else {
            if case .name(let name) = host { return !LocalName.isNowhere(name) }
            return false
        }
        guard let rules = rules[number] else { return false }
        let refused = rules.namesOnly
        if !isCheck, address.isPublic { noteAddress(refused: refused) }
        return !refused
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

    /// Opens what `wanted` names and is not open; `commit` closes the rest, `abandon` what was opened.
    ///
    /// Apps that are connected stay so.
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

    /// Forgets the rules of ports that are closed and that no app is connected by.
    private func forgetRules() {
        let used = Set(ports.map(\.number)).union(apps.all.values.map(\.listener))
        rules = rules.filter { used.contains($0.key) }
    }

    /// Awaits no more apps; those that are connected stay.
    func close() { for port in ports { port.socket.close() } }
}
