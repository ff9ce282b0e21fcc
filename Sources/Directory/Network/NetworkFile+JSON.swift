internal import FoundationEssentials
internal import Wire

extension NetworkFile {
    /// The maximum size of a network file in bytes; a file of 10,000 nodes has 2.3 MB.
    public static let maximumFileSize = 4 << 20

    /// Reads and checks a network file's JSON text.
    public init(json text: [UInt8]) throws(NetworkFileError) {
        self = try Self.read(text)
        try validate()
    }

    /// Reads the text without checking the values against each other.
    static func read(_ text: [UInt8]) throws(NetworkFileError) -> NetworkFile {
        guard text.count <= Self.maximumFileSize else { throw .tooLarge }
        let form: Form
        do {
            form = try JSONDecoder().decode(Form.self, from: Data(text))
        } catch let error as NetworkFileError {
            throw error
        } catch let error as DecodingError {
            throw Self.translate(error)
        } catch {
            throw .notJSON("unreadable")
        }
        return try form.file()
    }

    /// The JSON text, with sorted keys and a final line break.
    public func json() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            return [UInt8](try encoder.encode(Form(self))) + [UInt8(ascii: "\n")]
        } catch {
            preconditionFailure("a network file's values can always be written: \(error)")
        }
    }

    private static func translate(_ error: DecodingError) -> NetworkFileError {
        func name(_ path: [any CodingKey]) -> String {
            path.reduce("") { text, key in
                if let index = key.intValue { return "\(text)[\(index)]" }
                return text.isEmpty ? key.stringValue : "\(text).\(key.stringValue)"
            }
        }
        switch error {
        case .keyNotFound(let key, let context): return .missingKey(name(context.codingPath + [key]))
        case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
            if context.codingPath.isEmpty { return .notJSON("the text is not an object") }
            return .invalid(key: name(context.codingPath), remedy: "give \(words(for: type))")
        case .dataCorrupted(let context):
            if context.codingPath.isEmpty { return .notJSON(context.debugDescription) }
            return .invalid(key: name(context.codingPath), remedy: "give a value of the right form")
        @unknown default: return .notJSON("unreadable")
        }
    }

    private static func words(for type: any Any.Type) -> String {
        switch type {
        case is Int.Type, is UInt64.Type: "a whole number"
        case is Bool.Type: "true or false"
        case is String.Type: "a text in quotes"
        case is Data.Type: "a text in base64"
        default: "a value of the right form"
        }
    }
}

/// Accepts any key, so that unknown ones are found.
private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension Decoder {
    /// Throws for the first key that is not in `known`, with the most similar known key.
    fileprivate func refuseKeys(except known: [String]) throws {
        let present = try container(keyedBy: AnyKey.self).allKeys.map(\.stringValue).sorted()
        guard let found = present.first(where: { !known.contains($0) }) else { return }
        // A key may be as long as the file.
        let stranger = String(decoding: found.utf8.prefix(64), as: UTF8.self)
        let prefix = codingPath.reduce("") { text, key in
            key.intValue.map { "\(text)[\($0)]" } ?? (text.isEmpty ? key.stringValue : "\(text).\(key.stringValue)")
        }
        let nearest = known.map { ($0, editDistance(stranger.lowercased(), $0.lowercased())) }.min { $0.1 < $1.1 }
        let close = nearest.flatMap { $0.1 <= max(2, stranger.utf8.count / 3) ? $0.0 : nil }
        throw NetworkFileError.unknownKey(prefix.isEmpty ? stranger : "\(prefix).\(stranger)", nearest: close)
    }
}

/// The structure of the JSON text.
///
/// It has more members than most types: one for each key.
private struct Form: Codable {
    struct Node: Codable {
        var id: String
        var addresses: [String]

        enum CodingKeys: String, CodingKey, CaseIterable { case id, addresses }

        init(id: String, addresses: [String]) {
            self.id = id
            self.addresses = addresses
        }

        init(from decoder: any Decoder) throws {
            try decoder.refuseKeys(except: CodingKeys.allCases.map(\.rawValue))
            let values = try decoder.container(keyedBy: CodingKeys.self)
            id = try values.decode(String.self, forKey: .id)
            addresses = try values.decode([String].self, forKey: .addresses)
        }
    }

    struct Authority: Codable {
        var key: String
        var node: String

        enum CodingKeys: String, CodingKey, CaseIterable { case key, node }

        init(_ authority: NetworkFile.AuthorityEntry) {
            key = hexadecimal(authority.key.array)
            node = authority.node.description
        }

        init(from decoder: any Decoder) throws {
            try decoder.refuseKeys(except: CodingKeys.allCases.map(\.rawValue))
            let values = try decoder.container(keyedBy: CodingKeys.self)
            key = try values.decode(String.self, forKey: .key)
            node = try values.decode(String.self, forKey: .node)
        }
    }

    struct Ledger: Codable {
        var blockSeconds: UInt64?
        var slotSeconds: UInt64?
        var genesis: Data
        var blocks: [Data]?

        enum CodingKeys: String, CodingKey, CaseIterable { case blockSeconds, slotSeconds, genesis, blocks }

        init(_ ledger: NetworkFile.Ledger) {
            blockSeconds = ledger.blockSeconds
            slotSeconds = ledger.slotSeconds
            genesis = Data(ledger.genesis)
            blocks = ledger.blocks.map { Data($0) }
        }

        init(from decoder: any Decoder) throws {
            try decoder.refuseKeys(except: CodingKeys.allCases.map(\.rawValue))
            let values = try decoder.container(keyedBy: CodingKeys.self)
            blockSeconds = try values.decodeIfPresent(UInt64.self, forKey: .blockSeconds)
            slotSeconds = try values.decodeIfPresent(UInt64.self, forKey: .slotSeconds)
            genesis = try values.decode(Data.self, forKey: .genesis)
            blocks = try values.decodeIfPresent([Data].self, forKey: .blocks)
        }

        var value: NetworkFile.Ledger {
            var ledger = NetworkFile.Ledger(genesis: [UInt8](genesis), blocks: (blocks ?? []).map { [UInt8]($0) })
            ledger.blockSeconds = blockSeconds ?? ledger.blockSeconds
            ledger.slotSeconds = slotSeconds ?? min(ledger.slotSeconds, ledger.blockSeconds)
            return ledger
        }
    }

    struct Limits: Codable {
        var values: NetworkLimits

        init(values: NetworkLimits) { self.values = values }

        init(from decoder: any Decoder) throws {
            try decoder.refuseKeys(except: NetworkLimits.fields.map(\.key))
            let given = try decoder.container(keyedBy: AnyKey.self)
            values = NetworkLimits()
            for field in NetworkLimits.fields {
                if let value = try given.decodeIfPresent(Int.self, forKey: AnyKey(stringValue: field.key)) {
                    values[keyPath: field.path] = value
                }
            }
        }

        func encode(to encoder: any Encoder) throws {
            var target = encoder.container(keyedBy: AnyKey.self)
            for field in NetworkLimits.fields {
                try target.encode(values[keyPath: field.path], forKey: AnyKey(stringValue: field.key))
            }
        }
    }

    var name: String
    var id: String
    var packetSize: Int?
    var epochSeconds: UInt64?
    var snapshotMaximumAge: UInt64?
    var allowPrivateAddresses: Bool?
    var requireOperatorDiversity: Bool?
    var requireAddressDiversity: Bool?
    var operatorSharePercent: Int?
    var limits: Limits?
    var shards: Int?
    var swarmSize: Int?
    var storageVerdicts: Bool?
    var authorities: [Authority]?
    var authorityThreshold: Int?
    var ledger: Ledger?
    var bootstrap: [Node]
    var snapshot: Data

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name, id, packetSize, epochSeconds, snapshotMaximumAge, allowPrivateAddresses, requireOperatorDiversity
        case requireAddressDiversity, operatorSharePercent, limits, bootstrap, snapshot
        case shards, swarmSize, storageVerdicts, authorities, authorityThreshold, ledger
    }

    init(from decoder: any Decoder) throws {
        try decoder.refuseKeys(except: CodingKeys.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: CodingKeys.self)
        name = try values.decode(String.self, forKey: .name)
        id = try values.decode(String.self, forKey: .id)
        packetSize = try values.decodeIfPresent(Int.self, forKey: .packetSize)
        epochSeconds = try values.decodeIfPresent(UInt64.self, forKey: .epochSeconds)
        snapshotMaximumAge = try values.decodeIfPresent(UInt64.self, forKey: .snapshotMaximumAge)
        allowPrivateAddresses = try values.decodeIfPresent(Bool.self, forKey: .allowPrivateAddresses)
        requireOperatorDiversity = try values.decodeIfPresent(Bool.self, forKey: .requireOperatorDiversity)
        requireAddressDiversity = try values.decodeIfPresent(Bool.self, forKey: .requireAddressDiversity)
        operatorSharePercent = try values.decodeIfPresent(Int.self, forKey: .operatorSharePercent)
        limits = try values.decodeIfPresent(Limits.self, forKey: .limits)
        shards = try values.decodeIfPresent(Int.self, forKey: .shards)
        swarmSize = try values.decodeIfPresent(Int.self, forKey: .swarmSize)
        storageVerdicts = try values.decodeIfPresent(Bool.self, forKey: .storageVerdicts)
        authorities = try values.decodeIfPresent([Authority].self, forKey: .authorities)
        authorityThreshold = try values.decodeIfPresent(Int.self, forKey: .authorityThreshold)
        ledger = try values.decodeIfPresent(Ledger.self, forKey: .ledger)
        bootstrap = try values.decode([Node].self, forKey: .bootstrap)
        snapshot = try values.decode(Data.self, forKey: .snapshot)
    }

    init(_ file: NetworkFile) {
        name = file.name
        id = hexadecimal(file.id.array)
        packetSize = file.packetSize
        epochSeconds = file.epochSeconds
        snapshotMaximumAge = file.snapshotMaximumAge
        allowPrivateAddresses = file.allowPrivateAddresses
        requireOperatorDiversity = file.requireOperatorDiversity
        requireAddressDiversity = file.requireAddressDiversity
        operatorSharePercent = file.operatorSharePercent
        limits = Limits(values: file.limits)
        // A file of a network without a store can be read by programs that do not know these keys.
        if file.swarms != NetworkFile.Swarms() {
            shards = file.swarms.shards
            swarmSize = file.swarms.size
            if !file.swarms.storageVerdicts { storageVerdicts = false }
        }
        if !file.authorities.isEmpty {
            authorities = file.authorities.map { Authority($0) }
            authorityThreshold = file.authorityThreshold
        }
        ledger = file.ledger.map { Ledger($0) }
        bootstrap = file.bootstrap.map { Node(id: $0.node.description, addresses: $0.addresses.map(\.description)) }
        snapshot = Data(file.snapshot.encoded())
    }

    func file() throws(NetworkFileError) -> NetworkFile {
        guard let networkID = bytes32(hexadecimal: id) else {
            throw .invalid(key: "id", remedy: "give 64 hexadecimal digits")
        }
        var nodes: [NetworkFile.Bootstrap] = []
        for (index, node) in bootstrap.enumerated() {
            guard let nodeID = NodeID(node.id) else {
                throw .invalid(key: "bootstrap[\(index)].id", remedy: "give a node's address, 52 characters and .snode")
            }
            var addresses: [Endpoint] = []
            for address in node.addresses {
                guard let endpoint = Endpoint(address) else {
                    throw .invalid(
                        key: "bootstrap[\(index)].addresses", remedy: "write 192.0.2.1:1090 or [2001:db8::1]:1090")
                }
                addresses.append(endpoint)
            }
            nodes.append(NetworkFile.Bootstrap(node: nodeID, addresses: addresses))
        }
        let signed: SignedSnapshot
        do {
            signed = try SignedSnapshot(decoding: [UInt8](snapshot).rawSpan)
        } catch {
            throw .invalid(key: "snapshot", remedy: "get the network file again from its source (\(error))")
        }
        var file = NetworkFile(name: name, id: networkID, bootstrap: nodes, snapshot: signed)
        file.packetSize = packetSize ?? file.packetSize
        file.epochSeconds = epochSeconds ?? file.epochSeconds
        file.snapshotMaximumAge = snapshotMaximumAge ?? file.snapshotMaximumAge
        file.allowPrivateAddresses = allowPrivateAddresses ?? file.allowPrivateAddresses
        file.requireOperatorDiversity = requireOperatorDiversity ?? file.requireOperatorDiversity
        file.requireAddressDiversity = requireAddressDiversity ?? file.requireAddressDiversity
        file.operatorSharePercent = operatorSharePercent ?? file.operatorSharePercent
        file.limits = limits?.values ?? file.limits
        file.swarms.shards = shards ?? file.swarms.shards
        file.swarms.size = swarmSize ?? file.swarms.size
        file.swarms.storageVerdicts = storageVerdicts ?? file.swarms.storageVerdicts
        for (index, authority) in (authorities ?? []).enumerated() {
            guard let key = bytes32(hexadecimal: authority.key) else {
                throw .invalid(key: "authorities[\(index)].key", remedy: "give 64 hexadecimal digits")
            }
            guard let node = NodeID(authority.node) else {
                throw .invalid(
                    key: "authorities[\(index)].node", remedy: "give a node's address, 52 characters and .snode")
            }
            file.authorities.append(NetworkFile.AuthorityEntry(key: key, node: node))
        }
        file.authorityThreshold = authorityThreshold ?? 0
        file.ledger = ledger?.value
        return file
    }
}
