package import Directory
internal import Glibc
internal import OnionCrypto
package import Process
internal import Texts
internal import Wire

/// Stores a network file as the default one of this user's clients.
package struct Joining {
    /// The source of the network file.
    package let source: NetworkSource
    /// The user's name for the file.
    private let name: String
    /// The fingerprint that the file must have, 64 hexadecimal digits; nil accepts any.
    let fingerprint: String?
    /// Whether the file may replace any stored file, whatever `check` finds.
    private let replaces: Bool

    /// The stored file.
    package struct Kept {
        /// The decoded file.
        package let network: NetworkFile
        /// BLAKE2b-256 over the file, in hexadecimal digits.
        package let fingerprint: String
        /// Its path.
        package let place: String
        /// The age of the file's snapshot, in seconds.
        package let age: Double
    }

    /// The file `name`, a path, an https:// address, or - for standard input.
    package init(_ name: String, fingerprint: String?, replaces: Bool) throws(Failure) {
        source = try NetworkSource(name)
        self.name = name
        self.fingerprint = fingerprint
        self.replaces = replaces
    }

    /// Reads, checks and stores the file at the user's place; calls `note` with a message before a fetch.
    package func run(_ note: (String) -> Void) throws(Failure) -> Kept {
        try keep(try source.read(note), at: try NetworkFile.standardPath(), now: currentTime())
    }

    /// Checks `bytes` and stores them at `place`; creates the folder if it is missing.
    func keep(_ bytes: [UInt8], at place: String, now: UnixTime) throws(Failure) -> Kept {
        Sodium.initialize()
        let found = hexadecimal(Blake2b.digest(bytes.rawSpan).array)
        if let fingerprint, fingerprint.lowercased() != found {
            throw Failure(.data, "\(name) has the fingerprint \(found), not the one that was given")
        }
        let network = try NetworkFile.read(bytes, from: name)
        let age = Double(now.seconds) - Double(network.snapshot.snapshot.time.seconds)
        // Clients no longer trust the nodes of such an old file.
        if network.snapshotMaximumAge > 0, age > Double(network.snapshotMaximumAge) {
            throw Failure(
                .data,
                "\(name) was made \(durationText(age)) ago, and is trusted for "
                    + "\(durationText(Double(network.snapshotMaximumAge))); get the network's newest one")
        }
        if Files.exists(place) { try check(network, against: place, now: now) }
        let folder = String(place[..<(place.lastIndex(of: "/") ?? place.startIndex)])
        let isNew = !Files.isFolder(folder)
        try Files.makeFolders(folder)
        // The service's user must be able to read a file stored by root.
        if isNew, geteuid() == 0 { unsafe chmod(folder, 0o755) }
        try Files.replace(place, bytes, mode: 0o644, isExact: geteuid() == 0)
        return Kept(network: network, fingerprint: found, place: place, age: age)
    }

    /// Refuses to replace a stored file of another network, a newer one, an unreadable one, or one with obstacles
    /// (`NetworkFile.obstacles(to:at:)`).
    private func check(_ network: NetworkFile, against place: String, now: UnixTime) throws(Failure) {
        guard !replaces else { return }
        let kept: NetworkFile
        do {
            kept = try NetworkFile(json: try Files.read(place, limit: NetworkFile.maximumFileSize))
        } catch {
            // Its network is unknown, so the new file may be of another one.
            throw Failure(
                .cannotCreate, "\(place) exists and cannot be read as a network file; replace it with --replace")
        }
        guard kept.id == network.id else {
            throw Failure(
                .cannotCreate, "\(place) belongs to another network, '\(kept.name)'; replace it with --replace")
        }
        guard kept.snapshot.snapshot.height <= network.snapshot.snapshot.height else {
            throw Failure(.cannotCreate, "\(place) is newer than \(name); replace it with --replace")
        }
        // Anyone can make a file with the network's id and other nodes, which have signed it.
        let obstacles = kept.obstacles(to: network, at: now)
        guard obstacles.isEmpty else {
            let reason =
                obstacles.contains("snapshot") ? ", and the nodes of the kept file do not vouch for its snapshot" : ""
            throw Failure(
                .cannotCreate,
                "\(name) differs from \(place) in \(obstacles.joined(separator: ", "))\(reason); compare its fingerprint with one "
                    + "from another source, then replace it with --replace")
        }
    }
}
