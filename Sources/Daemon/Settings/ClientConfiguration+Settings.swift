internal import Client
internal import Directory
internal import Process
internal import Settings
internal import Wire

extension ClientConfiguration {
    /// The configuration in `settings`; it has no nodes of this machine.
    init(_ settings: Settings) throws(Failure) {
        do throws(SettingProblems) {
            let mayBeRemote = settings.boolean("client.allow_remote")
            let socks = try settings.readList("client.socks") {
                try SettingText.proxyListeners($0, mayBeRemote: mayBeRemote)
            }.flatMap(\.self)
            let named = socks.map(\.address).filter {
                if case .tcp(let endpoint) = $0 { endpoint.port != 0 } else { true }
            }
            if Set(named).count != named.count {
                throw SettingProblems([settings.problem("client.socks", "an address is named twice")])
            }
            let names = try settings.readList("client.dns", SettingText.dnsEndpoint)
            let ports = names.filter { $0.port != 0 }
            if Set(ports).count != ports.count || ports.contains(where: { named.contains(.tcp($0)) }) {
                throw SettingProblems([settings.problem("client.dns", "an address is named twice, here or in 'socks'")])
            }
            self.init(socks: [])
            listeners = socks
            dns = names
            udpIdle = .seconds(settings.number("client.udp_idle"))
            hops = Int(settings.number("client.hops"))
            pathUse = .seconds(settings.number("client.path_use"))
            sparePaths = Int(settings.number("client.spare_paths"))
            exits = try NodeChoice(settings, "client.exits")
            avoided = try NodeChoice(settings, "client.avoid")
            exitCheck = .seconds(settings.number("client.exit_check"))
        } catch {
            throw Failure.of(error)
        }
    }
}
