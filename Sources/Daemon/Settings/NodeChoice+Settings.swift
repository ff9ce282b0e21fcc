internal import Directory
internal import Settings
internal import Wire

extension NodeChoice {
    /// The nodes in a list: by address, by `country:` and by `set:`.
    init(_ settings: Settings, _ key: String) throws(SettingProblems) {
        self.init()
        let words = settings.list(key)
        for word in words {
            if word.hasPrefix("set:") {
                let name = String(word.dropFirst("set:".count))
                guard let set = settings.exitSets[name] else {
                    let known = settings.exitSets.keys.sorted().joined(separator: ", ")
                    let hint = known.isEmpty ? "name it under [client.sets]" : "there are: \(known)"
                    throw SettingProblems([settings.problem(key, "there is no set '\(name)'; \(hint)")])
                }
                for member in set.members {
                    if let fault = insert(member) {
                        throw SettingProblems([SettingProblem(set.origin, "client.sets.\(name)", fault)])
                    }
                }
            } else if let fault = insert(word) {
                throw SettingProblems([settings.problem(key, fault)])
            }
        }
    }

    /// Adds a node or a country; returns the problem if it is not valid.
    private mutating func insert(_ word: String) -> String? {
        if word.hasPrefix("country:") {
            let country = word.dropFirst("country:".count).uppercased()
            guard Descriptor.isCountry(country.utf8) else {
                return "'\(word)' is not a country; use two letters, such as country:SE"
            }
            countries.insert(country)
        } else if let node = NodeID(word) {
            nodes.insert(node)
        } else {
            return "expected a node's address (….snode), or country: or set: with a name, got '\(word)'"
        }
        return nil
    }
}
