internal import ArgumentParser
internal import Control
internal import Glibc
internal import OnionCrypto
internal import Process
internal import Provision
internal import Wire

/// Raw boxes of the swarm store.
struct BoxCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "box", abstract: "For developers: store and read raw items in a network's swarm store.",
        discussion: """
            Examples:
              tunic box new --key box.key
              tunic box put --key box.key --file note.txt
              tunic box list --key box.key
              tunic box get --key box.key --id ID --out note.txt
              tunic box watch --key box.key --json
              tunic box delete --key box.key --id ID

            A running client sends the requests; it gets the box's key for as long as they last. Items live for 14 days \
            and are not encrypted: the nodes that hold them can read them.
            """,
        subcommands: [BoxNew.self, BoxPut.self, BoxList.self, BoxGet.self, BoxDelete.self, BoxWatch.self])
}

/// The box's key.
struct BoxKeyOption: ParsableArguments {
    @Option(help: ArgumentHelp("The file of the box's key ('tunic box new').", valueName: "file"))
    var key: String

    /// The key.
    func read() throws(Failure) -> SigningKey {
        Sodium.initialize()
        return try RoleFolder.read(key)
    }

    /// The key, as a client is told it.
    func seed() throws(Failure) -> String { Self.seed(try read()) }

    private static func seed(_ key: borrowing SigningKey) -> String { hexadecimal([UInt8](copying: key.seedBytes)) }
}

/// An item's id.
struct ItemOption: ParsableArguments {
    @Option(help: ArgumentHelp("The item's id, 64 hexadecimal digits.", valueName: "id"))
    var id: String

    func validate() throws {
        guard bytes32(hexadecimal: id) != nil else {
            throw ValidationError("--id '\(id)' is not an item's id: 64 hexadecimal digits")
        }
    }
}

extension ControlOptions {
    /// The client's answer to a command on a box.
    fileprivate func box<Report: Decodable>(_ words: String..., as type: Report.Type) throws(Failure) -> Report {
        // A call of the client takes 10 s, and a search three of them; the client gives up after 35 s.
        try ask(.box, words.joined(separator: " "), within: 40, as: type)
    }

    /// Reads the box of a key through the client.
    fileprivate func boxReader(_ seed: String, at place: String? = nil) -> BoxReader {
        BoxReader(at: place) { place throws(Failure) in
            if let place {
                try box("list", seed, place, as: BoxReport.self)
            } else {
                try box("list", seed, as: BoxReport.self)
            }
        }
    }
}

struct BoxNew: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new", abstract: "Make the key of a new box, and print the box.",
        discussion: "Example:\n  tunic box new --key box.key")

    @OptionGroup var key: BoxKeyOption

    func run() throws {
        Sodium.initialize()
        let new = SigningKey()
        try RoleFolder.write(new, to: key.key)
        print(hexadecimal(new.publicKey.array))
    }
}

struct BoxPut: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "put", abstract: "Store a file as a message of the box's owner.",
        discussion: "Example:\n  tunic box put --key box.key --file note.txt")

    @OptionGroup var key: BoxKeyOption
    @Option(help: ArgumentHelp("The file; at most 65,388 bytes.", valueName: "file"))
    var file: String
    @OptionGroup var target: ControlOptions

    func run() throws {
        let seed = try key.seed()
        let content = try Files.read(file, limit: 65_388)
        let report = try target.box("put", seed, hexadecimal(content), as: StoredReport.self)
        print(target.json ? json(report) : report.text)
    }
}

struct BoxList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List a box as one of its nodes shows it.",
        discussion: "Example:\n  tunic box list --key box.key --node NODE")

    @OptionGroup var key: BoxKeyOption
    @Option(help: ArgumentHelp("The node to ask, one of 'tunic swarm' (default: any).", valueName: "node"))
    var node: String?
    @OptionGroup var target: ControlOptions

    func run() throws {
        var reader = target.boxReader(try key.seed(), at: node.map { "\($0):0:0" })
        let all = try reader.readAll()
        if target.json { return print(json(all)) }
        print(all.outOfDate ? "\(all.replica), which may lack items:" : "\(all.replica):")
        for entry in all.entries { print(entry.text) }
    }
}

struct BoxGet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Write the content of an item to a file.",
        discussion: "Example:\n  tunic box get --key box.key --id ID --out note.txt")

    @OptionGroup var key: BoxKeyOption
    @OptionGroup var item: ItemOption
    @Option(help: ArgumentHelp("The node to ask, one of 'tunic swarm' (default: any).", valueName: "node"))
    var node: String?
    @Option(help: ArgumentHelp("The file to write, which must not exist.", valueName: "file"))
    var out: String
    @OptionGroup var target: ControlOptions

    func run() throws {
        let seed = try key.seed()
        let report =
            if let node { try target.box("get", seed, item.id, node, as: BoxReport.self) } else {
                try target.box("get", seed, item.id, as: BoxReport.self)
            }
        guard let entry = report.entries.first, let text = entry.content, let content = bytes(hexadecimal: text) else {
            throw Failure(.data, "the item was not stored by 'tunic box put'")
        }
        try Files.writeNew(out, content, mode: 0o600)
        print(target.json ? json(report) : "\(content.count) bytes, from \(report.replica)")
    }
}

struct BoxDelete: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete an item of the box.",
        discussion: "Example:\n  tunic box delete --key box.key --id ID")

    @OptionGroup var key: BoxKeyOption
    @OptionGroup var item: ItemOption
    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.box("delete", key.seed(), item.id, as: DeletedReport.self)
        print(target.json ? json(report) : "deleted at \(report.replicas) of \(report.of) replicas")
    }
}

struct BoxWatch: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Print the items of a box, and new ones as they come, until a signal.",
        discussion: """
            Example:
              tunic box watch --key box.key --json

            It lists the box every two seconds. With --json each item is a line, with its content in hexadecimal.
            """)

    /// How long it waits when there is nothing new, in seconds.
    private static let pause: UInt32 = 2

    @OptionGroup var key: BoxKeyOption
    @OptionGroup var target: ControlOptions

    func run() throws {
        var reader = target.boxReader(try key.seed())
        while true {
            let (entries, hasMore) = try reader.readNew()
            for entry in entries { guard printNow(target.json ? json(entry) : entry.text) else { return } }
            if hasMore { continue }
            sleep(Self.pause)
        }
    }
}

/// The nodes that hold a box.
struct SwarmCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swarm", abstract: "For developers: name the nodes that hold a box of the swarm store.",
        discussion: "Example:\n  tunic swarm --box box.key --json")

    @Option(help: ArgumentHelp("The file of the box's key, or the box: 64 hexadecimal digits.", valueName: "box"))
    var box: String
    @OptionGroup var target: ControlOptions

    func run() throws {
        Sodium.initialize()
        let name =
            if bytes32(hexadecimal: box) != nil { box } else { hexadecimal(try RoleFolder.read(box).publicKey.array) }
        let report = try target.box("swarm", name, as: SwarmReport.self)
        print(target.json ? json(report) : report.text)
    }
}
