/// The values that were set, by key: options over environment over file; the typed getters return the default for the
/// rest.
///
/// An accepted value is of its key's kind. Its meaning (an address, a node) is checked where it is read, by
/// ``read(_:_:)``, so that every fault has its place.
public struct Settings: Sendable {
    /// A value and its source.
    struct Entry: Sendable {
        var value: SettingValue
        var origin: SettingOrigin
    }

    private var entries: [String: Entry] = [:]
    /// The named sets of exits: name, members, place.
    public private(set) var exitSets: [String: (members: [String], origin: SettingOrigin)] = [:]
    /// The tables that the file has, with the line of each.
    public private(set) var tables: [String: Int] = [:]

    /// Settings with default values only.
    public init() {}

    /// Adds the settings in `text`, the contents of the file `path`.
    public mutating func take(file path: String, _ text: String) throws(SettingProblems) {
        let document: TomlDocument
        do {
            document = try TomlDocument(text)
        } catch {
            let hint = Self.hint(on: text, line: error.line)
            let problem = SettingProblem(
                .file(path, line: error.line), "", "this is not valid TOML: \(Self.firstLower(error.message))\(hint)")
            throw SettingProblems([problem])
        }
        var problems: [SettingProblem] = []
        for entry in document.entries {
            let origin = SettingOrigin.file(path, line: entry.line)
            if entry.value == .table, SettingsCatalog.tables.contains(entry.path) {
                tables[entry.path] = entry.line
                continue
            }
            if entry.path.hasPrefix(SettingsCatalog.setsTable + ".") {
                let name = String(entry.path.dropFirst(SettingsCatalog.setsTable.count + 1))
                let members = entry.elements.compactMap { if case .string(let text) = $0 { text } else { nil } }
                if entry.value == .array, members.count == entry.elements.count, !members.isEmpty {
                    exitSets[name] = (members, origin)
                } else {
                    problems.append(
                        SettingProblem(origin, entry.path, "a set is a list of exits, such as [\"country:SE\"]"))
                }
                continue
            }
            guard let key = SettingsCatalog.key(entry.path) else {
                problems.append(SettingProblem(origin, entry.path, Self.unknown(entry.path)))
                continue
            }
            do throws(SettingFault) {
                let value = try SettingValue(entry, key.kind)
                entries[key.path] = Entry(value: key.isPath ? try Self.path(value, from: path) : value, origin: origin)
            } catch {
                problems.append(SettingProblem(origin, key.path, error.message))
            }
        }
        guard problems.isEmpty else { throw SettingProblems(problems) }
    }

    /// The likely fault in a line that is not TOML: most often a text without quotes.
    private static func hint(on text: String, line: Int) -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard line > 0, line <= lines.count, let equals = lines[line - 1].firstIndex(of: "=") else { return "" }
        let value = lines[line - 1][lines[line - 1].index(after: equals)...].drop { $0 == " " || $0 == "\t" }
        guard let first = value.first, first == "/" || first == "~" || first == "." || first.isLetter else { return "" }
        return "; put a text in quotes, such as \"/etc/tunic/network.json\""
    }

    /// A path in the file at `file`: a relative one is relative to that file's folder.
    private static func path(_ value: SettingValue, from file: String) throws(SettingFault) -> SettingValue {
        guard case .text(let text) = value, !text.isEmpty, !text.hasPrefix("/"), !text.hasPrefix("fd:") else {
            return value
        }
        guard !text.hasPrefix("~") else {
            throw SettingFault("~ is not expanded here; write the full path, such as \"/home/you/network.json\"")
        }
        guard let slash = file.lastIndex(of: "/") else { return value }
        return .text(file[...slash] + text)
    }

    /// Adds the variables of an environment that name a key.
    public mutating func take(environment: [String: String]) throws(SettingProblems) {
        var problems: [SettingProblem] = []
        for (name, text) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("TUNIC_") {
            let origin = SettingOrigin.environment(name)
            guard let key = SettingsCatalog.keys.first(where: { $0.variable == name }) else {
                // Variables of other programs exist; those with the name of a table are meant for Tunic.
                guard SettingsCatalog.tables.contains(where: { name.hasPrefix("TUNIC_\($0.uppercased())_") }) else {
                    continue
                }
                let near = SettingsCatalog.nearest(to: name, among: SettingsCatalog.keys.map(\.variable))
                let hint = near.map { "; did you mean \($0)?" } ?? ""
                problems.append(SettingProblem(origin, "", "there is no setting for this variable\(hint)"))
                continue
            }
            guard !text.isEmpty else { continue }
            do throws(SettingFault) {
                entries[key.path] = Entry(value: try SettingValue(text, key.kind), origin: origin)
            } catch {
                problems.append(SettingProblem(origin, key.path, error.message))
            }
        }
        guard problems.isEmpty else { throw SettingProblems(problems) }
    }

    /// Sets the key at `path` to `text`, from the option `option` of the command line.
    public mutating func take(option: String, _ path: String, _ text: String) throws(SettingProblems) {
        let origin = SettingOrigin.option(option)
        guard let key = SettingsCatalog.key(path) else {
            throw SettingProblems([SettingProblem(origin, path, Self.unknown(path))])
        }
        do throws(SettingFault) {
            entries[path] = Entry(value: try SettingValue(text, key.kind), origin: origin)
        } catch {
            throw SettingProblems([SettingProblem(origin, path, error.message)])
        }
    }

    /// Sets the key at `path` to a list, from the option `option`.
    public mutating func take(option: String, _ path: String, list: [String]) {
        precondition(SettingsCatalog.key(path)?.kind == .list, "\(path) is a list")
        entries[path] = Entry(value: .list(list), origin: .option(option))
    }

    /// Restores the default of the key at `path`, whatever the file says.
    public mutating func remove(_ path: String) { entries[path] = nil }

    // MARK: Reading

    private func value(_ path: String) -> SettingValue? {
        guard let key = SettingsCatalog.key(path) else { preconditionFailure("\(path) is no setting") }
        if let entry = entries[path] { return entry.value }
        return key.byDefault == nil ? nil : SettingsCatalog.defaults[path]
    }

    /// The source of a key's value.
    public func origin(_ path: String) -> SettingOrigin { entries[path]?.origin ?? .byDefault }

    /// Whether the key was set.
    public func isSet(_ path: String) -> Bool { entries[path] != nil }

    /// The text of a key; nil if there is none.
    public func text(_ path: String) -> String? {
        if case .text(let text) = value(path), !text.isEmpty { text } else { nil }
    }

    /// The list of a key; empty if there is none.
    public func list(_ path: String) -> [String] { if case .list(let list) = value(path) { list } else { [] } }

    /// The whole number of a key, including seconds and bytes.
    public func integer(_ path: String) -> Int64? {
        if case .integer(let number) = value(path) { number } else { nil }
    }

    /// The whole number of a key that has a default.
    public func number(_ path: String) -> Int64 {
        guard let number = integer(path) else { preconditionFailure("\(path) has no default") }
        return number
    }

    /// Whether a key is true.
    public func boolean(_ path: String) -> Bool { if case .boolean(let flag) = value(path) { flag } else { false } }

    /// The parsed value of a key's text, or nil; an error of `parse` becomes a problem with its place.
    public func read<Value>(_ path: String, _ parse: (String) throws -> Value) throws(SettingProblems) -> Value? {
        guard let text = text(path) else { return nil }
        return try parsed(path, text, parse)
    }

    /// The parsed values of a key's list; an error of `parse` becomes a problem with its place.
    public func readList<Value>(
        _ path: String, _ parse: (String) throws -> Value
    ) throws(SettingProblems) -> [Value] {
        var values: [Value] = []
        for text in list(path) { values.append(try parsed(path, text, parse)) }
        return values
    }

    private func parsed<Value>(
        _ path: String, _ text: String, _ parse: (String) throws -> Value
    ) throws(SettingProblems) -> Value {
        do {
            return try parse(text)
        } catch {
            throw SettingProblems([problem(path, "\(error)")])
        }
    }

    /// A problem with a key, at its place.
    public func problem(_ path: String, _ message: String) -> SettingProblem {
        SettingProblem(origin(path), path, message)
    }

    /// The keys whose values differ from those of `other`.
    public func changes(to other: Settings) -> [SettingKey] {
        SettingsCatalog.keys.filter { value($0.path) != other.value($0.path) }
    }

    /// The paths of what differs from `other`: keys, and the table of sets of exits.
    public func changedPaths(to other: Settings) -> [String] {
        let isSame = exitSets.mapValues(\.members) == other.exitSets.mapValues(\.members)
        return changes(to: other).map(\.path) + (isSame ? [] : [SettingsCatalog.setsTable])
    }

    // MARK: Words

    private static func unknown(_ path: String) -> String {
        if SettingsCatalog.tables.contains(path) { return "this is a table: write [\(path)] on a line of its own" }
        let near = SettingsCatalog.nearest(to: path, among: SettingsCatalog.keys.map(\.path))
        return "there is no such key" + (near.map { "; did you mean \($0)?" } ?? "; 'tunic config default' shows all")
    }

    private static func firstLower(_ text: String) -> String { text.prefix(1).lowercased() + text.dropFirst() }
}
