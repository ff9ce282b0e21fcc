internal import ArgumentParser
internal import Directory
internal import Glibc
internal import OnionCrypto
internal import Wire

/// Keeps a network file as the one that a client takes when none is named.
struct JoinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join", abstract: "Check a network file and keep it, so that 'tunic client' needs no other.",
        discussion: """
            Examples:
              tunic join network.json
              tunic join https://example.org/network.json
              curl -fsSL https://example.org/network.json | tunic join -
              tunic join network.json --fingerprint 0f3c…

            An address is fetched over the ordinary internet, not through Tunic and through no other proxy: by HTTPS alone, \
            within 30 s, with at most three redirects. SSL_CERT_FILE names authorities in place of the system's.

            A network file says whom the client trusts at first: compare its fingerprint with one that you got by another way \
            ('b2sum -l 256 network.json' prints the same). It is kept as network.json in $XDG_CONFIG_HOME/tunic or \
            ~/.config/tunic, of root in /etc/tunic.
            """)

    @Argument(help: ArgumentHelp("The network file, its https:// address, or - for standard input.", valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp("Refuse a file with another fingerprint.", valueName: "hex"))
    var fingerprint: String?

    @Flag(
        help: "Replace the file of another network, a newer one of the same, or one that does not lead to the new one.")
    var replace = false

    func run() throws {
        Sodium.initialize()
        let source = try Source(file)
        let bytes = try source.read()
        let found = hexadecimal(Blake2b.digest(bytes.rawSpan).array)
        if let fingerprint, fingerprint.lowercased() != found {
            throw Failure(.data, "\(file) has the fingerprint \(found), not the one that was given")
        }
        let network = try NetworkFile.read(bytes, from: file)
        try Self.checkAge(of: network, file)
        let place = try NetworkFile.standardPath()
        if Files.exists(place) { try check(network, against: place) }
        let folder = String(place[..<(place.lastIndex(of: "/") ?? place.startIndex)])
        let isNew = !Files.isFolder(folder)
        try Files.makeFolders(folder)
        // The service's user reads what root keeps.
        if isNew, geteuid() == 0 { unsafe chmod(folder, 0o755) }
        try Files.replace(place, bytes, mode: 0o644, isExact: geteuid() == 0)
        var table = Table()
        table.add("network", network.name)
        table.add("id", hexadecimal(network.id.array))
        table.add(
            "made", "\(durationText(Self.age(of: network))) ago, with \(network.snapshot.snapshot.stakedCount) nodes")
        table.add("fingerprint", found)
        table.add("kept as", place)
        print(table.lines.joined(separator: "\n"))
        if fingerprint == nil {
            print("Compare the fingerprint with one that you got by another way\(source.caution), then: tunic client")
        }
    }

    /// Where the network file comes from.
    enum Source: Equatable {
        case file(String)
        case address(String)

        /// More than a network file may have, so that one which is too large is told from one that has no end.
        private static let fetchLimit = NetworkFile.maximumFileSize + 64 << 10

        /// The source that the argument names; throws for an address that is not fetched.
        init(_ text: String) throws(Failure) {
            guard text != "-" else {
                self = .file("/dev/stdin")
                return
            }
            guard let end = text.firstIndex(of: ":"), text[end...].hasPrefix("://") || text.hasPrefix("file:") else {
                self = .file(text)
                return
            }
            switch text[..<end].lowercased() {
            case "https": self = .address(text)
            case "file":
                let rest = text[end...].dropFirst()
                self = .file(String(rest.hasPrefix("//") ? rest.dropFirst(2) : rest))
            case let scheme:
                throw Failure(
                    .usage,
                    "\(text): only https:// is fetched, for over \(scheme) anybody on the way could put another network's "
                        + "file in its place")
            }
        }

        /// What is said of the fingerprint beside that it is to be compared.
        var caution: String { if case .address = self { ", not from the same address" } else { "" } }

        /// The bytes, as many as a network file may have.
        func read() throws(Failure) -> [UInt8] {
            switch self {
            case .file(let path): return try Files.read(path, limit: NetworkFile.maximumFileSize)
            case .address(let url):
                complain(
                    "fetching \(url) over the ordinary internet, not through Tunic: this network and the server see it")
                let bytes = try SecureFetch.get(url, limit: Self.fetchLimit)
                guard bytes.count <= NetworkFile.maximumFileSize else { throw SecureFetch.tooLarge(url) }
                return bytes
            }
        }
    }

    private static func age(of network: NetworkFile) -> Double {
        Double(currentTime().seconds) - Double(network.snapshot.snapshot.time.seconds)
    }

    /// Refuses a file whose nodes no client trusts any more.
    private static func checkAge(of network: NetworkFile, _ file: String) throws(Failure) {
        guard network.snapshotMaximumAge > 0, age(of: network) > Double(network.snapshotMaximumAge) else { return }
        throw Failure(
            .data,
            "\(file) was made \(durationText(age(of: network))) ago, and is trusted for "
                + "\(durationText(Double(network.snapshotMaximumAge))); get the network's newest one")
    }

    /// Refuses to put `network` in the place of another one, or of a newer file of the same.
    private func check(_ network: NetworkFile, against place: String) throws(Failure) {
        guard !replace, let kept = try? NetworkFile(json: try Files.read(place, limit: NetworkFile.maximumFileSize))
        else { return }  // One that cannot be read any more is no loss.
        guard kept.id == network.id else {
            throw Failure(.cannotCreate, "\(place) is of another network, '\(kept.name)'; replace it with --replace")
        }
        guard kept.snapshot.snapshot.height <= network.snapshot.snapshot.height else {
            throw Failure(.cannotCreate, "\(place) is newer than \(file); replace it with --replace")
        }
        // Anybody can make a file with the network's id and nodes of his own, which have signed it.
        let obstacles = kept.obstacles(to: network, at: currentTime())
        guard obstacles.isEmpty else {
            let reason =
                obstacles.contains("snapshot") ? ", and the nodes of the kept file do not vouch for its snapshot" : ""
            throw Failure(
                .cannotCreate,
                "\(file) differs from \(place) in \(obstacles.joined(separator: ", "))\(reason); compare its fingerprint with one "
                    + "that you got by another way, then replace it with --replace")
        }
    }
}

extension NetworkFile {
    /// Where 'tunic join' keeps the network file of this user.
    static func standardPath() throws(Failure) -> String {
        if geteuid() == 0 { return "/etc/tunic/network.json" }
        if let folder = Files.environment("XDG_CONFIG_HOME"), folder.hasPrefix("/") {
            return "\(folder)/tunic/network.json"
        }
        if let home = Files.environment("HOME"), home.hasPrefix("/") { return "\(home)/.config/tunic/network.json" }
        throw Failure(.configuration, "neither XDG_CONFIG_HOME nor HOME names a folder for the network file")
    }
}
