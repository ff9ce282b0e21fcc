import Directory
import OnionCrypto
import Process
import Store
import Testing
import Wire

@testable import Provision

/// The time at which `file` was made.
private func time(_ file: NetworkFile) -> UnixTime { file.snapshot.snapshot.time }

@Suite struct JoiningTests {
    private func join(
        _ bytes: [UInt8], at place: String, fingerprint: String? = nil, replaces: Bool = false,
        now: UnixTime = currentTime()
    ) throws(Failure) -> Joining.Kept {
        try Joining("given.json", fingerprint: fingerprint, replaces: replaces).keep(bytes, at: place, now: now)
    }

    @Test func aFileIsCheckedAndKept() throws {
        let folder = try Folder()
        let bytes = try contents(try folder.network().file)
        let place = "\(folder.path)/kept/tunic/network.json"
        let kept = try join(bytes, at: place)
        #expect(try contents(place) == bytes)
        #expect(kept.fingerprint == hexadecimal(Blake2b.digest(bytes.rawSpan).array))
        #expect(kept.place == place)
        #expect(kept.age >= 0 && kept.age < 60)
        #expect(kept.network.snapshot.snapshot.stakedCount == 3)
        // The same file again, with the fingerprint in capitals.
        _ = try join(bytes, at: place, fingerprint: kept.fingerprint.uppercased())
        let found = failure { _ = try join(bytes, at: place, fingerprint: "00") }
        #expect(found?.code == .data)
        #expect(found?.message == "given.json has the fingerprint \(kept.fingerprint), not the one that was given")
    }

    @Test func theFingerprintIsToBeComparedUnlessItWasGiven() throws {
        let folder = try Folder()
        let bytes = try contents(try folder.network().file)
        let kept = try join(bytes, at: "\(folder.path)/kept.json")
        let lines = try Joining("given.json", fingerprint: nil, replaces: false).text(of: kept).split(separator: "\n")
        #expect(lines[0] == "network      test")
        #expect(lines[2].hasPrefix("made         ") && lines[2].hasSuffix(" ago, with 3 nodes"))
        #expect(lines[4...5] == ["fingerprint  \(kept.fingerprint)", "kept as      \(kept.place)"])
        #expect(lines[6] == "Compare the fingerprint with one from another source, then: tunic client")
        let fetched = try Joining("https://example.org/network.json", fingerprint: nil, replaces: false)
        #expect(fetched.text(of: kept).hasSuffix("another source, not from the same address, then: tunic client"))
        let compared = try Joining("given.json", fingerprint: kept.fingerprint, replaces: false)
        #expect(compared.text(of: kept).hasSuffix(kept.place))
    }

    @Test("L1: joining tells that exits may be asked for the machine's own network")
    func aPrivateNetworkIsTold() throws {
        let folder = try Folder()
        let joining = try Joining("given.json", fingerprint: nil, replaces: false)
        let bytes = try contents(try folder.network().file)
        let own = try join(bytes, at: "\(folder.path)/own.json")
        #expect(own.network.isPrivate && joining.text(of: own).contains("\nexits        may be asked for hosts of"))
        let other = try folder.network("other") {
            $0.addresses = (1...3).map { [Endpoint("9.9.\($0).1:1090")!] }
            $0.isLocal = false
        }
        let kept = try join(try contents(other.file), at: "\(folder.path)/other.json")
        #expect(!joining.text(of: kept).contains("exits"))
    }

    @Test func whatIsNoNetworkFileIsNotKept() throws {
        let folder = try Folder()
        let good = String(decoding: try contents(try folder.network().file), as: UTF8.self)
        let id = try NetworkFile(json: Array(good.utf8)).id
        let place = "\(folder.path)/kept.json"
        let tampered = good.replacing(hexadecimal(id.array), with: String(repeating: "11", count: 32))
        #expect(tampered != good)
        for text in ["", "<!doctype html>", "{\"format\": 1}", String(good.dropLast(20)), tampered] {
            let found = failure { _ = try join(Array(text.utf8), at: place) }
            #expect(found?.code == .data)
            #expect(found?.message.hasPrefix("given.json: ") == true, "\(found?.message ?? "")")
            #expect(!Files.exists(place))
        }
    }

    @Test("J1: a file that is not kept has no effect on the terminal, and its texts are shown in a line")
    func aFileDoesNotControlTheTerminal() throws {
        let folder = try Folder()
        let place = "\(folder.path)/kept.json"
        let good = String(decoding: try contents(try folder.network().file), as: UTF8.self)
        let keys = [
            #"\u001b]0;title\u0007\u001b[2J"#, #"x\nfingerprint  00"#, #"\u202ex\u009b2K"#,
            String(repeating: "k", count: 1 << 20),
        ]
        for key in keys {
            let text = "{\"\(key)\": 1, " + good.drop { $0 != "{" }.dropFirst()
            let found = try #require(failure { _ = try join(Array(text.utf8), at: place) })
            #expect(found.code == .data && found.message.contains("unknown key"))
            let line = complaint(found.message)
            #expect(line.utf8.count < 400 && line.hasPrefix("tunic: ") && line.hasSuffix("\n"))
            #expect(!line.dropLast().unicodeScalars.contains { $0.value < 32 || 127...159 ~= $0.value })
            #expect(!line.unicodeScalars.contains("\u{202e}"))
            #expect(!Files.exists(place))
        }
    }

    @Test("S25: a file whose nodes nobody trusts any more is not kept")
    func anOldFileIsRefused() throws {
        let folder = try Folder()
        let network = try folder.network()
        let bytes = try contents(network.file)
        let file = try file(network)
        let place = "\(folder.path)/kept.json"
        let last = UnixTime(seconds: time(file).seconds + file.snapshotMaximumAge)
        _ = try join(bytes, at: place, now: last)
        Files.remove(place)
        let found = failure { _ = try join(bytes, at: place, now: UnixTime(seconds: last.seconds + 1)) }
        #expect(found?.code == .data)
        #expect(found?.message.contains("and is trusted for") == true)
        #expect(found?.message.hasSuffix("get the network's newest one") == true)
        #expect(!Files.exists(place))
    }

    @Test func anotherNetworkTakesNoPlaceUnasked() throws {
        let folder = try Folder()
        let first = try contents(try folder.network().file)
        let other = try contents(try folder.network("other").file)
        let place = "\(folder.path)/kept.json"
        _ = try join(first, at: place)
        let found = failure { _ = try join(other, at: place) }
        #expect(found?.code == .cannotCreate)
        #expect(found?.message == "\(place) belongs to another network, 'test'; replace it with --replace")
        #expect(try contents(place) == first)
        _ = try join(other, at: place, replaces: true)
        #expect(try contents(place) == other)
    }

    @Test("S25: a kept file that cannot be read is replaced only when the user says so")
    func aDamagedFileIsReplacedWhenAsked() throws {
        let folder = try Folder()
        let network = try contents(try folder.network().file)
        let place = "\(folder.path)/kept.json"
        try folder.write("kept.json", [1, 2, 3])
        let found = failure { _ = try join(network, at: place) }
        #expect(found?.code == .cannotCreate)
        #expect(found?.message == "\(place) exists and cannot be read as a network file; replace it with --replace")
        #expect(try contents(place) == [1, 2, 3])
        _ = try join(network, at: place, replaces: true)
        #expect(try contents(place) == network)
    }

    @Test("S25: a file with the network's id and other values takes no place")
    func aFileThatDoesNotFollowTakesNoPlace() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 4)
        let file = try file(network)
        let place = "\(folder.path)/kept.json"
        _ = try join(try contents(network.file), at: place)
        let changes: [(String?, (inout NetworkFile) -> Void)] = [
            (nil, { $0.bootstrap.removeLast() }), ("operatorSharePercent", { $0.operatorSharePercent = 99 }),
            ("name", { $0.name = "x" }), ("limits", { $0.limits.streamsPerSecond += 1 }),
        ]
        for (key, change) in changes {
            var changed = file
            change(&changed)
            guard let key else {
                _ = try join(changed.json(), at: place)
                _ = try join(file.json(), at: place)
                continue
            }
            let found = failure { _ = try join(changed.json(), at: place) }
            #expect(found?.code == .cannotCreate)
            #expect(found?.message.contains("in \(key)") == true, "\(found?.message ?? "")")
            #expect(try NetworkFile(json: contents(place)) == file)
        }
    }

    @Test("S25: a newer snapshot takes the place only where the kept file's nodes have signed it")
    func aNewerFileFollowsByItsSignatures() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 4)
        let file = try file(network)
        let old = file.snapshot.snapshot
        let next = try #require(
            Snapshot(
                network: file.id, height: old.height + 1, time: UnixTime(seconds: old.time.seconds + 1),
                entries: old.entries))
        let place = "\(folder.path)/kept.json"
        _ = try join(try contents(network.file), at: place)
        // A file is valid only if enough of its own nodes have signed it, so the stranger's file has other nodes.
        let stranger = try folder.network("stranger", nodes: 4)
        var own = file
        own.snapshot = SignedSnapshot(
            try #require(
                Snapshot(
                    network: file.id, height: old.height + 1, time: next.time,
                    entries: try Self.entries(of: stranger))))
        for node in stranger.nodes { own.snapshot.sign(with: try KeyFile.load("\(node.folder)/identity.key")) }
        own.bootstrap = try self.bootstrap(of: stranger)
        let found = failure { _ = try join(own.json(), at: place) }
        #expect(found?.code == .cannotCreate)
        #expect(found?.message.contains("and the nodes of the kept file do not vouch for its snapshot") == true)
        // A newer file signed by the network's own nodes is accepted, and the older one cannot replace it.
        var newer = file
        newer.snapshot = SignedSnapshot(next)
        for node in network.nodes { newer.snapshot.sign(with: try KeyFile.load("\(node.folder)/identity.key")) }
        let later = UnixTime(seconds: currentTime().seconds + 2)
        _ = try join(newer.json(), at: place, now: later)
        let back = failure { _ = try join(file.json(), at: place, now: later) }
        #expect(back?.message == "\(place) is newer than given.json; replace it with --replace")
    }

    private static func entries(of network: NetworkFolder) throws -> [Snapshot.Entry] {
        try NetworkFile(json: try contents(network.file)).snapshot.snapshot.entries
    }

    private func bootstrap(of network: NetworkFolder) throws -> [NetworkFile.Bootstrap] {
        try NetworkFile(json: try contents(network.file)).bootstrap
    }

    @Test(
        arguments: [
            ("-", .file("/dev/stdin")), ("network.json", .file("network.json")), ("a:b", .file("a:b")),
            ("file:///etc/n.json", .file("/etc/n.json")), ("file:n.json", .file("n.json")),
            ("https://x/n.json", .address("https://x/n.json")), ("HTTPS://x", .address("HTTPS://x")),
        ] as [(String, NetworkSource)])
    func aSourceIsAFileOrAnAddress(text: String, source: NetworkSource) throws {
        #expect(try NetworkSource(text) == source)
    }

    @Test("J1: only https is fetched", arguments: ["http", "ftp", "HTTP", "gopher"])
    func onlyHttpsIsFetched(scheme: String) {
        let found = failure { _ = try NetworkSource("\(scheme)://127.0.0.1/n.json") }
        #expect(found?.code == .usage)
        #expect(found?.message.contains("only https:// is fetched, because over \(scheme.lowercased()) anyone") == true)
    }

    /// The port is closed: a fetch that went there would say so.
    @Test("J1: the fetch itself refuses any other scheme, so that no redirect leads to one")
    func theFetchIsByHttps() {
        let found = failure { _ = try SecureFetch.get("http://127.0.0.1:1/n.json", limit: 1_000) }
        #expect(found?.code == .unavailable && found?.message.contains("not https://, which is not fetched") == true)
        let tried = failure { _ = try SecureFetch.get("https://127.0.0.1:1/n.json", limit: 1_000) }
        #expect(tried?.message.hasPrefix("cannot fetch https://127.0.0.1:1/n.json: ") == true)
    }

    @Test func aFileThatIsTooLargeIsNotRead() throws {
        let folder = try Folder()
        let path = try folder.write("large.json", [UInt8](repeating: 32, count: NetworkFile.maximumFileSize + 1))
        let found = failure { _ = try NetworkSource(path).read { _ in } }
        #expect(found?.code == .data)
        #expect(found?.message.contains("too large") == true)
        #expect(failure { _ = try NetworkSource("\(folder.path)/none").read { _ in } }?.code == .noInput)
    }
}
