import CCares

/// Checks of names, the choice and order of addresses, and the answers without c-ares.
extension Resolver {
    /// Whether this can be a name: 1 to 255 bytes, without control characters, spaces, bytes above ASCII, or escapes.
    static func isValid(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 255 && name.utf8.allSatisfy { 0x21...0x7e ~= $0 && $0 != 0x5c }
    }

    static func isLoopback(_ name: String) -> Bool {
        let name = (name.hasSuffix(".") ? String(name.dropLast()) : name).lowercased()
        return name == "localhost" || name.hasSuffix(".localhost")
    }

    static func loopback(port: UInt16, _ family: Family) -> [SocketAddress] {
        switch family {
        case .ipv4Only: [.loopbackIPv4(port: port)]
        case .ipv6Only: [.loopbackIPv6(port: port)]
        case .ipv4First: [.loopbackIPv4(port: port), .loopbackIPv6(port: port)]
        case .ipv6First: [.loopbackIPv6(port: port), .loopbackIPv4(port: port)]
        }
    }

    /// Asks the name server of a simulated network.
    func ask(_ question: Question, _ number: UInt64, of host: SimulatedHost) {
        switch question {
        case .addresses(let name, let family):
            working[number] = false
            // c-ares gives up after three quarters of the time: a first round, and a second twice as long.
            host.ask(name, patience: configuration.timeout / 4 * 3) { [weak self] addresses in
                guard let self else { return }
                noteEnd(number, addresses == nil ? ARES_ETIMEOUT : ARES_SUCCESS)
                if case .addresses(let port, _, _)? = pending[number]?.wanted {
                    let found = addresses.map { Self.inOrder($0.map { $0.with(port: port) }, family) }
                    let error: ResolverError = found == nil ? .timedOut : .notFound
                    answered.append((number, found?.isEmpty == false ? .addresses(found ?? []) : .none(error)))
                }
                process(reading: -1, writing: -1)
            }
        case .name, .records:
            // A simulated name server has only addresses.
            answered.append((number, .none(.notFound)))
        }
    }

    /// The addresses that a query of `family` asks for, in its order, at most ``maximumAddresses``.
    static func inOrder(_ addresses: [SocketAddress], _ family: Family) -> [SocketAddress] {
        let wantsIPv4First =
            switch family {
            case .ipv4Only, .ipv4First: true
            case .ipv6Only, .ipv6First: false
            }
        // A mapped IPv4 address in an AAAA record counts as IPv4.
        let first = addresses.filter { $0.isIPv4 == wantsIPv4First }
        let second = addresses.filter { $0.isIPv4 != wantsIPv4First }
        switch family {
        case .ipv4Only, .ipv6Only: return Array(first.prefix(maximumAddresses))
        case .ipv4First, .ipv6First:
            // Some of the second family stay, to be tried last.
            let kept = first.prefix(maximumAddresses - min(second.count, maximumAddresses / 4))
            return Array(kept) + second.prefix(maximumAddresses - kept.count)
        }
    }
}
