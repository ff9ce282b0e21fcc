/// A command that cannot be followed, and why.
public struct CommandError: Error, Equatable {
    /// For people, without an end of line.
    public let reason: String

    init(_ reason: String) { self.reason = reason }
}

// The commands, one a line. Names are made by their first use and have letters, digits, '-', '_' and '.'.
//
//     host NAME                          a host; the first is number 0
//     address NAME ADDRESS               the host has this address, and no other host has it any more
//     forget NAME ADDRESS                the host has it no more
//     segment NAME [delay=20ms] [jitter=5ms] [loss=0.01] [reorder=0.05] [late=5ms]
//     line NAME [rate=100M] [queue=100ms | queue=125000]
//     route FROM TO [ELEMENT ...]        segments and lines, in the order in which a packet passes them
//     cut NAME, mend NAME                the host is off, or on again
//     counts                             everything that is counted, as one line of JSON
//
// `segment` and `line` change what they name and leave the rest, at once, also while packets are under way. A route that
// is given again keeps its counts; packets that are under way on it must not be, as their stages are those of the old one.
extension Emulation {
    /// Follows one command; the answer without its end of line.
    public mutating func command(_ text: String, at time: Nanoseconds) throws(CommandError) -> String {
        let words = text.split(separator: " ").map(String.init)
        guard let verb = words.first else { return "" }
        let rest = Array(words.dropFirst())
        switch verb {
        case "host": try addHost(rest)
        case "address": try setAddress(rest, owned: true)
        case "forget": try setAddress(rest, owned: false)
        case "segment": try setSegment(rest)
        case "line": try setLine(rest, at: time)
        case "route": try setRoute(rest)
        case "cut": try setCut(rest, true)
        case "mend": try setCut(rest, false)
        case "counts": return counts
        default: throw CommandError("no command \(verb)")
        }
        return "ok"
    }

    private func host(_ name: String) throws(CommandError) -> Int {
        guard let index = hosts.firstIndex(where: { $0.name == name }) else { throw CommandError("no host \(name)") }
        return index
    }

    private mutating func addHost(_ words: [String]) throws(CommandError) {
        guard words.count == 1, isName(words[0]) else { throw CommandError("expected: host NAME") }
        guard !hosts.contains(where: { $0.name == words[0] }) else { throw CommandError("host \(words[0]) is there") }
        hosts.append(Host(name: words[0]))
        makeTable()
    }

    private mutating func setAddress(_ words: [String], owned: Bool) throws(CommandError) {
        guard words.count == 2, let address = Address(text: words[1]) else {
            throw CommandError("expected: NAME ADDRESS")
        }
        let host = try host(words[0])
        guard owned || owners.contains(where: { $0.address == address && $0.host == host }) else {
            throw CommandError("\(words[0]) does not have \(words[1])")
        }
        owners.removeAll { $0.address == address }
        if owned { owners.append((address, host)) }
    }

    private mutating func setSegment(_ words: [String]) throws(CommandError) {
        guard let name = words.first, isName(name), !lineNames.contains(name) else {
            throw CommandError("expected: segment NAME [KEY=VALUE ...]")
        }
        let known = segmentNames.firstIndex(of: name)
        var segment = known.map { segments[$0] } ?? Segment()
        for word in words.dropFirst() {
            let (key, value) = pair(word)
            switch key {
            case "delay": segment.delay = try duration(value)
            case "jitter": segment.jitter = try duration(value)
            case "late": segment.late = try duration(value)
            case "loss": segment.loss = try probability(value)
            case "reorder": segment.reorder = try probability(value)
            default: throw CommandError("segments have no \(key)")
            }
        }
        if let known {
            segments[known] = segment
        } else {
            segmentNames.append(name)
            segments.append(segment)
        }
    }

    private mutating func setLine(_ words: [String], at time: Nanoseconds) throws(CommandError) {
        guard let name = words.first, isName(name), !segmentNames.contains(name) else {
            throw CommandError("expected: line NAME [rate=RATE] [queue=TIME or BYTES]")
        }
        var rate: Double?
        var queue: Line.Queue?
        for word in words.dropFirst() {
            let (key, value) = pair(word)
            switch key {
            case "rate": rate = try bitrate(value)
            case "queue":
                queue = if let bytes = Int(value), bytes >= 0 { .bytes(bytes) } else { .time(try duration(value)) }
            default: throw CommandError("lines have no \(key)")
            }
        }
        guard let known = lineNames.firstIndex(of: name) else {
            lineNames.append(name)
            lines.append(Line(rate: rate ?? 0, queue: queue ?? .time(100_000_000)))
            return
        }
        if let queue { lines[known].queue = queue }
        if let rate { change(line: known, rate: rate, at: time) }
    }

    private mutating func setRoute(_ words: [String]) throws(CommandError) {
        guard words.count >= 2 else { throw CommandError("expected: route FROM TO [ELEMENT ...]") }
        let from = try host(words[0])
        let to = try host(words[1])
        var elements: [Element] = []
        for name in words.dropFirst(2) {
            if let segment = segmentNames.firstIndex(of: name) {
                elements.append(.segment(segment))
            } else if let line = lineNames.firstIndex(of: name) {
                elements.append(.line(line))
            } else {
                throw CommandError("no segment or line \(name)")
            }
        }
        let latest = [Nanoseconds](repeating: 0, count: elements.count)
        let known = table[from * hosts.count + to]
        if known >= 0 {
            guard routes[known].held == 0 else { throw CommandError("packets are on the route") }
            routes[known].elements = elements
            routes[known].latest = latest
            return
        }
        // FNV-1a over the names: the same losses whatever else there is.
        let own = "\(words[0]) \(words[1])".utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01b3
        }
        routes.append(Route(from: from, to: to, elements: elements, latest: latest, chance: Chance(seed: seed ^ own)))
        makeTable()
    }

    private mutating func setCut(_ words: [String], _ isCut: Bool) throws(CommandError) {
        guard !words.isEmpty else { throw CommandError("expected: NAME ...") }
        for word in words { hosts[try host(word)].isCut = isCut }
    }

    private mutating func makeTable() {
        table = [Int](repeating: -1, count: hosts.count * hosts.count)
        for (index, route) in routes.enumerated() { table[route.from * hosts.count + route.to] = index }
    }

    /// Everything that is counted, as JSON, in which names need no escapes.
    private var counts: String {
        let routes = routes.map {
            """
            "\(hosts[$0.from].name)>\(hosts[$0.to].name)":{"packets":\($0.delivered),"bytes":\($0.bytes),"lost":\($0.lost),\
            "dropped":\($0.dropped),"cut":\($0.cut),"full":\($0.full),"held":\($0.held)}
            """
        }
        let lines = zip(lineNames, lines).map { name, line in
            """
            "\(name)":{"packets":\(line.packets),"bytes":\(line.bytes),"dropped":\(line.dropped),\
            "dropped_bytes":\(line.droppedBytes),"waiting":\(line.waiting),"most_waiting":\(line.mostWaiting)}
            """
        }
        let segments = zip(segmentNames, segments).map { name, segment in
            "\"\(name)\":{\"lost\":\(segment.lost),\"reordered\":\(segment.reordered)}"
        }
        return """
            {"routes":{\(routes.joined(separator: ","))},"lines":{\(lines.joined(separator: ","))},\
            "segments":{\(segments.joined(separator: ","))},"slots":\(used),\
            "malformed":\(strays.malformed),"foreign":\(strays.foreign),"unknown":\(strays.unknown)}
            """
    }
}

// MARK: Values

private func isName(_ text: String) -> Bool {
    !text.isEmpty && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }
}

private func pair(_ word: String) -> (key: String, value: String) {
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
}

/// A number with one of the units behind it, at most `limit`.
private func quantity(_ text: String, units: [(String, Double)], limit: Double) throws(CommandError) -> Double {
    for (unit, factor) in units where text.hasSuffix(unit) {
        if let number = Double(text.dropLast(unit.count)), number >= 0, number * factor <= limit {
            return number * factor
        }
    }
    throw CommandError("not a value: \(text)")
}

private func duration(_ text: String) throws(CommandError) -> Nanoseconds {
    Nanoseconds(try quantity(text, units: [("us", 1e3), ("ms", 1e6), ("ns", 1), ("s", 1e9)], limit: 3.6e12).rounded())
}

private func bitrate(_ text: String) throws(CommandError) -> Double {
    try quantity(text, units: [("k", 1e3), ("M", 1e6), ("G", 1e9), ("", 1)], limit: 1e12)
}

private func probability(_ text: String) throws(CommandError) -> Double {
    try quantity(text, units: [("%", 0.01), ("", 1)], limit: 1)
}

extension Address {
    /// An IPv4 address with dots, or an IPv6 one, in which `::` may stand once.
    init?(text: String) {
        guard text.contains(":") else {
            let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
            guard parts.count == 4, !parts.contains(nil) else { return nil }
            self.init(v4: parts.reduce(0) { $0 << 8 | UInt32($1 ?? 0) })
            return
        }
        var groups: [UInt16] = []
        var gap: Int?
        var rest = text[...]
        if rest.hasPrefix("::") {
            gap = 0
            rest = rest.dropFirst(2)
        }
        while !rest.isEmpty {
            let part = rest.prefix { $0 != ":" }
            guard let group = UInt16(part, radix: 16), groups.count < 8 else { return nil }
            groups.append(group)
            rest = rest.dropFirst(part.count)
            guard !rest.isEmpty else { break }
            rest = rest.dropFirst()
            if rest.hasPrefix(":") {
                guard gap == nil else { return nil }
                gap = groups.count
                rest = rest.dropFirst()
            } else if rest.isEmpty {
                return nil
            }
        }
        guard gap == nil ? groups.count == 8 : groups.count < 8 else { return nil }
        if let gap { groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap) }
        let words = [groups[..<4], groups[4...]].map { $0.reduce(0 as UInt64) { $0 << 16 | UInt64($1) } }
        self.init(high: words[0], low: words[1])
    }
}
