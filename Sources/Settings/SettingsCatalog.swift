/// All settings.
public enum SettingsCatalog {
    /// The tables of the file; the empty one is the top.
    public static let tables = ["client", "client.sets", "relay", "web", "metrics", "log"]
    /// The table whose keys are the user's names for sets of exits.
    static let setsTable = "client.sets"

    /// Each setting, in the order of the default file.
    public static let keys: [SettingKey] = [
        SettingKey(
            "network", .text, example: "\"/etc/tunic/network.json\"",
            "The network file: the identity of the network and the nodes to ask first."),
        SettingKey(
            "data", .text, example: "\"/var/lib/tunic\"",
            "The folder for persistent data (mode 0700). By default systemd's (STATE_DIRECTORY), else",
            "tunic in $XDG_STATE_HOME or ~/.local/state. With both roles the client's folder is 'client' in it."),
        SettingKey(
            "control", .text, example: "\"/run/tunic/control.sock\"",
            "The control socket (mode 0600) of 'tunic status' and other commands. By default control.sock in systemd's",
            "RUNTIME_DIRECTORY, else in the data folder."),
        SettingKey(
            "control_group", .text, example: "\"tunic-watch\"",
            "A group of this system whose members may read (status, paths, exits, streams, metrics, nodes, account,",
            "operation) and change nothing. The socket gets mode 0660. Its folder must let the group in; the data",
            "folder does not."),

        SettingKey(
            "client.socks", .list, byDefault: "[\"127.0.0.1:1080\"]", reloadable: true,
            "The addresses for apps, over SOCKS and HTTP: loopback addresses, unix: and an absolute path, or systemd: and",
            "the name of systemd sockets. Port 0 is a free one. Streams with another user and password, address or",
            "protocol get other paths. After an address, separated by commas: destination-host, destination-port and",
            "client-address separate by these, too; no-credentials, no-listener and no-protocol do not separate by those;",
            "names-only refuses apps that ask for an address."),
        SettingKey(
            "client.dns", .list, byDefault: "[]", example: "[\"127.0.0.1:5353\"]",
            "The addresses at which DNS is answered through the exit, over UDP and TCP: loopback addresses."),
        SettingKey(
            "client.udp_idle", .duration(1...3_600), byDefault: "300",
            "How long a UDP association of an app lives without a datagram."),
        SettingKey(
            "client.allow_remote", .boolean, byDefault: "false", reloadable: true,
            "Allow addresses in 'socks' that other machines can reach. Anyone who can reach them can use the proxy."),
        SettingKey("client.hops", .integer(1...4), byDefault: "3", "How many nodes a path has."),
        SettingKey(
            "client.path_use", .duration(2...900), byDefault: "900",
            "How long a path is used before another takes its place."),
        SettingKey(
            "client.spare_paths", .integer(0...16), byDefault: "2", reloadable: true,
            "How many ready paths wait for the next app."),
        SettingKey(
            "client.exits", .list, byDefault: "[]", reloadable: true,
            "The exits that may be used: node addresses (….snode), \"country:SE\" by an exit's own statement, or",
            "\"set:NAME\" for one of [client.sets]. Empty: all. No other exit is used, even if none of these works."),
        SettingKey(
            "client.avoid", .list, byDefault: "[]", reloadable: true,
            "Nodes that are never used, in the same form: in no place of a path, and this machine asks them for nothing.",
            "The country of a node is known only once another node has told it."),
        SettingKey(
            "client.exit_check", .duration(0...86_400), byDefault: "60", reloadable: true,
            "How often the exits in 'exits' are tried, if there are any; 0: never."),

        SettingKey(
            "relay.listen", .list, byDefault: "[]", example: "[\"0.0.0.0:7100\"]",
            "The UDP addresses to listen on, one of IPv4 and one of IPv6."),
        SettingKey(
            "relay.public", .list, byDefault: "[]",
            "The addresses to which others send, if they differ from those in 'listen' (0.0.0.0, NAT)."),
        SettingKey(
            "relay.key", .text, example: "\"/etc/tunic/identity.key\"",
            "The node's key. By default identity.key in systemd's CREDENTIALS_DIRECTORY, else in the data folder."),
        SettingKey(
            "relay.passphrase_file", .text, example: "\"/run/keys/tunic\"",
            "The source of the passphrase of the node's key, if it is sealed: a file of mode 0600, or \"fd:3\" for an",
            "open descriptor. By default 'passphrase' in systemd's CREDENTIALS_DIRECTORY, if there is one."),
        SettingKey(
            "relay.oxend", .text, example: "\"http://127.0.0.1:22023\"",
            "An oxend daemon's administrative JSON-RPC: the registry and the node's key come from it."),
        SettingKey(
            "relay.authority", .text, example: "\"/etc/tunic/authority.key\"",
            "The key of an authority, which makes the blocks of the network's ledger together with the others."),
        SettingKey(
            "relay.authority_passphrase_file", .text, example: "\"/run/keys/authority\"",
            "The same for the authority's key."),
        SettingKey(
            "relay.registry", .text, example: "\"/etc/tunic/registry\"",
            "A file with the staked nodes, signed by the network's authorities, for a network without a ledger."),
        SettingKey(
            "relay.exit", .boolean, byDefault: "false", "Open connections to the outside for clients."),
        SettingKey(
            "relay.exit_policy", .list, byDefault: "[]", reloadable: true,
            "Rules for destinations, in Tor's syntax; the first match counts: \"reject *:6881-6999\",",
            "\"accept 192.0.2.0/24:443\", \"reject6 *:*\", \"reject 192.0.2.0/255.255.255.0\", \"reject private:*\".",
            "A destination without a match is accepted. Private and special addresses, port 25 and, for UDP, amplifiers'",
            "ports are always closed."),
        SettingKey(
            "relay.exit_allow", .list, byDefault: "[]",
            "Ranges of private or loopback addresses that the exit opens, for tests."),
        SettingKey(
            "relay.exit_resolver", .list, byDefault: "[]", example: "[\"127.0.0.1:53\"]",
            "The name servers that the exit asks, with or without a port. Empty: the system's."),
        SettingKey(
            "relay.country", .text, example: "\"SE\"",
            "The two letters of the country by which clients can choose this node; they are not verified."),
        SettingKey(
            "relay.workers", .integer(1...16), byDefault: "1",
            "How many threads carry packets, at most one for each core. Of several, the first does all other work, too."
        ),
        SettingKey(
            "relay.rate", .bytes, byDefault: "0", example: "\"10 MB\"", reloadable: true,
            "The most bytes that the relay sends in a second; it receives about as many. 0: no limit."),
        SettingKey(
            "relay.burst", .bytes, byDefault: "0", reloadable: true,
            "The most bytes that it sends at once after a pause; 0: a second's worth."),
        SettingKey(
            "relay.monthly_limit", .bytes, byDefault: "0", reloadable: true,
            "The most bytes, sent and received, in a month. Beyond a day's part of what is left, the relay keeps to the",
            "pace that lasts until the month ends, at least 200 kB a second. When all are used up, it accepts no new",
            "paths, ends its present ones within relay.drain, and does not serve until the next month. 0: no limit."),
        SettingKey(
            "relay.month_start", .integer(1...28), byDefault: "1", reloadable: true,
            "The day on which a month begins, at 0:00 UTC."),
        SettingKey(
            "relay.drain", .duration(0...86_400), byDefault: "30", reloadable: true,
            "How long the relay waits for paths to end before it stops."),

        SettingKey(
            "relay.store_quota", .bytes, byDefault: "\"20 GB\"", reloadable: true,
            "The bytes of items that the node keeps for the network's swarm store, if the network has one; at least 100 MB.",
            "On disk they take up to a third more, in swarm.sqlite in the data folder."),
        SettingKey(
            "relay.store_recovery", .bytes, byDefault: "0", reloadable: true,
            "The bytes of items that the node fetches in a second when it joins a swarm; 0: half of relay.rate, without",
            "one 6.25 MB."),

        SettingKey(
            "web.listen", .text, byDefault: "\"127.0.0.1:1088\"", reloadable: true,
            "The address of the status page: a loopback address, or \"off\" for no page. If the default is in use, another",
            "port is taken. The URL has a secret, which is stored in web.token in the data folder. It is printed at the",
            "start, and by 'tunic web'."),
        SettingKey(
            "metrics.listen", .text, byDefault: "\"off\"", reloadable: true,
            "The address of /metrics for Prometheus: a loopback address, such as \"127.0.0.1:9464\". 'tunic metrics' prints the",
            "same."),
        SettingKey(
            "log.level", .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]),
            byDefault: "\"notice\"", reloadable: true, "The lowest level that is logged, to standard error."),
        SettingKey(
            "log.format", .choice(["text", "json"]), byDefault: "\"text\"", reloadable: true,
            "Lines of text, or of JSON."),
    ]

    private static let places = Dictionary(uniqueKeysWithValues: keys.enumerated().map { ($1.path, $0) })

    /// The key at `path`.
    public static func key(_ path: String) -> SettingKey? { places[path].map { keys[$0] } }

    /// The defaults by the paths of their keys; keys without a default are left out.
    static let defaults: [String: SettingValue] = {
        var values: [String: SettingValue] = [:]
        for key in keys {
            guard let text = key.byDefault, let document = try? TomlDocument("value = \(text)"),
                let entry = document.entries.first, let value = try? SettingValue(entry, key.kind)
            else { continue }
            values[key.path] = value
        }
        return values
    }()

    /// The commented file that 'tunic config default' prints: every key with its default.
    public static var defaultFile: String {
        let width = 118
        var text = """
            # Settings of tunic. A line that begins with # is a comment; the values shown are the defaults, or examples.
            # Options of the command line override the environment (client.hops is TUNIC_CLIENT_HOPS; ; separates a list's values),
            # which overrides this file. 'tunic config check' finds mistakes; SIGHUP makes a running process read it again.
            # The table [client] makes the process a client, [relay] a node; with both it is both.


            """
        var table = ""
        for key in keys {
            if key.table != table {
                table = key.table
                text += header(table)
            }
            for line in key.documentation {
                assert(line.count <= width, "\(key.path): the line is too long")
                text += "# \(line)\n"
            }
            if !key.isReloadable { text += "# (Needs a restart.)\n" }
            text += "#\(key.name) = \(key.example)\n\n"
        }
        text += """
            # Names for several exits, to be used in 'exits' and 'avoid' as "set:north".
            #[client.sets]
            #north = ["country:SE", "country:NO", "country:FI"]

            """
        return text
    }

    private static func header(_ table: String) -> String {
        let title =
            switch table {
            case "client": "The client: a proxy for the apps of this machine."
            case "relay": "The relay: a node that carries others' paths."
            case "web": "The status page, for a browser on this machine."
            case "metrics": "Metrics for Prometheus."
            default: "The log."
            }
        // The table that makes a process a relay must be enabled by the user.
        return "# \(title)\n\(table == "relay" ? "#" : "")[\(table)]\n\n"
    }

    /// The most similar name, if one is similar enough.
    public static func nearest(to text: String, among names: [String]) -> String? {
        let last = text.split(separator: ".").last.map(String.init) ?? text
        // The right name in a wrong table.
        if let same = names.first(where: { $0.split(separator: ".").last.map(String.init) == last }) { return same }
        let ranked = names.map { name in
            let nameLast = name.split(separator: ".").last.map(String.init) ?? name
            return (min(distance(text, name), distance(last, nameLast) + 1), name)
        }.sorted { $0.0 < $1.0 }
        guard let best = ranked.first, best.0 <= (last.count < 4 ? 1 : max(2, last.count / 3 + 1)) else { return nil }
        return best.1
    }

    /// How many letters must be inserted, deleted or changed to get from `a` to `b`.
    private static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a.utf8.prefix(64)), Array(b.utf8.prefix(64)))
        var row = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                let change = diagonal + (x == y ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(change, row[j] + 1, diagonal + 1)
            }
        }
        return row[b.count]
    }
}
