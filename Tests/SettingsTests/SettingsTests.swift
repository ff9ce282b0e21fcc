import Testing

@testable import Settings

/// The problems of a file with these lines, one line each.
private func problems(_ text: String) -> [String] {
    var settings = Settings()
    do {
        try settings.take(file: "f.toml", text)
        return []
    } catch {
        return error.all.map(\.description)
    }
}

@Suite struct SettingsFileTests {
    @Test func valuesOfEveryKindAreTaken() throws {
        var settings = Settings()
        try settings.take(
            file: "f.toml",
            """
            network = "n.json"
            [client]
            socks = ["127.0.0.1:1", "unix:/a"]
            hops = 2
            path_use = "10m"
            allow_remote = true
            [client.sets]
            north = ["country:SE"]
            [relay]
            rate = "1.5 MB"
            burst = 77
            [log]
            format = "json"
            """)
        #expect(settings.text("network") == "n.json")
        #expect(settings.list("client.socks") == ["127.0.0.1:1", "unix:/a"])
        #expect(settings.integer("client.hops") == 2)
        #expect(settings.integer("client.path_use") == 600)
        #expect(settings.boolean("client.allow_remote"))
        #expect(settings.integer("relay.rate") == 1_500_000)
        #expect(settings.integer("relay.burst") == 77)
        #expect(settings.text("log.format") == "json")
        #expect(settings.exitSets["north"]?.members == ["country:SE"])
        #expect(settings.origin("client.hops") == .file("f.toml", line: 4))
        #expect(settings.tables["relay"] == 9)
        #expect(settings.integer("client.exit_check") == 60)
    }

    @Test(arguments: [
        ("hops = 2", "f.toml:1: hops: there is no such key; did you mean client.hops?"),
        ("\n[client]\nhop = 2", "f.toml:3: client.hop: there is no such key; did you mean client.hops?"),
        ("[relays]\nexit = true", "f.toml:1: relays: there is no such key; 'tunic config default' shows all"),
        ("[client]\nhops = 5", "f.toml:2: client.hops: 5 is out of range; use 1 to 4"),
        ("[client]\nhops = \"3\"", "f.toml:2: client.hops: give a whole number, 1 to 4"),
        ("[client]\nsocks = [1]", "f.toml:2: client.socks: give a list of texts, such as [\"a\", \"b\"]"),
        ("[log]\nlevel = \"loud\"", "f.toml:2: log.level: give one of \"trace\", \"debug\""),
        ("[relay]\nrate = \"fast\"", "f.toml:2: relay.rate: give a number of bytes"),
        ("[client]\npath_use = \"2 weeks\"", "f.toml:2: client.path_use: give a number of seconds"),
        ("client = 3", "f.toml:1: client: this is a table"),
        ("[client]\nhops = ", "f.toml:2: this is not valid TOML"),
        ("[client.sets]\nx = []", "f.toml:2: client.sets.x: a set is a list"),
        ("[client]\nhops = 1\nhops = 2", "f.toml:3: this is not valid TOML"),
        ("[client]\nhops = {a = 1}", "f.toml:2: client.hops: give a whole number"),
        ("[client]\nsocks = [[\"a\"]]", "f.toml:2: client.socks: give a list"),
        ("network = 1979-05-27", "f.toml:1: network: give a text in quotes"),
    ])
    func faultsNameLineKeyAndRemedy(_ text: String, _ problem: String) {
        #expect(problems(text).first?.hasPrefix(problem) == true, "\(problems(text))")
    }

    @Test func allFaultsAreNamedAtOnce() {
        #expect(problems("[client]\nhop = 1\nhops = 9\n[log]\nlevel = 3").count == 3)
    }

    @Test func theDefaultFileSetsNothingAndHoldsEveryKey() throws {
        let text = SettingsCatalog.defaultFile
        var settings = Settings()
        try settings.take(file: "f.toml", text)
        #expect(settings.tables.keys.sorted() == ["client", "log", "metrics", "web"])
        for key in SettingsCatalog.keys {
            #expect(!settings.isSet(key.path))
            #expect(text.contains("#\(key.name) = \(key.example)\n"), "\(key.path)")
            #expect(!key.documentation.isEmpty && !key.example.isEmpty, "\(key.path)")
            #expect((key.byDefault == nil) == (SettingsCatalog.defaults[key.path] == nil), "\(key.path)")
        }
        // With its examples in effect, the file still has no mistakes.
        let shown = text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("#") && !$0.hasPrefix("# ") ? String($0.dropFirst()) : String($0) }
            .joined(separator: "\n")
        try settings.take(file: "f.toml", shown)
        #expect(settings.tables["relay"] != nil)
    }
}

@Suite struct SettingsPrecedenceTests {
    @Test func optionsCountBeforeTheEnvironmentAndThatBeforeTheFile() throws {
        var settings = Settings()
        #expect(settings.integer("client.hops") == 3)
        try settings.take(file: "f.toml", "[client]\nhops = 1\npath_use = 100\nspare_paths = 5")
        try settings.take(environment: ["TUNIC_CLIENT_HOPS": "2", "TUNIC_CLIENT_PATH_USE": "200", "PATH": "/bin"])
        try settings.take(option: "--hops", "client.hops", "4")
        #expect(settings.integer("client.hops") == 4)
        #expect(settings.integer("client.path_use") == 200)
        #expect(settings.integer("client.spare_paths") == 5)
        #expect(settings.origin("client.path_use").description == "the environment's TUNIC_CLIENT_PATH_USE")
    }

    @Test func listsStandInVariablesWithSemicolons() throws {
        var settings = Settings()
        try settings.take(environment: ["TUNIC_CLIENT_SOCKS": "127.0.0.1:1; unix:/a", "TUNIC_RELAY_EXIT": "yes"])
        #expect(settings.list("client.socks") == ["127.0.0.1:1", "unix:/a"])
        #expect(settings.boolean("relay.exit"))
    }

    @Test func aVariableOfNoKeyIsNamedWithTheLikelyOne() {
        var settings = Settings()
        do {
            try settings.take(environment: ["TUNIC_CLIENT_HOP": "2", "TUNIC_IDLE_SECONDS": "3"])
            Issue.record("nothing was thrown")
        } catch {
            #expect(
                error.all.map(\.description) == [
                    "the environment's TUNIC_CLIENT_HOP: there is no setting for this variable; did you mean TUNIC_CLIENT_HOPS?"
                ])
        }
    }

    @Test func changesAreByValue() throws {
        var (old, new) = (Settings(), Settings())
        try old.take(file: "f.toml", "[client]\nhops = 3")
        try new.take(file: "f.toml", "\n\n[client]\nspare_paths = 4")
        #expect(old.changes(to: new).map(\.path) == ["client.spare_paths"])
    }
}
