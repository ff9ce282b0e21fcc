import Testing

@testable import Web

@Suite struct ProxySetupTests {
    @Test(arguments: [
        (["127.0.0.1:1080"], "127.0.0.1:1080"), (["unix:/run/a", "[::1]:9"], "[::1]:9"),
        (["0.0.0.0:1080"], "127.0.0.1:1080"), (["[::]:1080"], "[::1]:1080"),
        // The second address has rules of its own.
        (["127.0.0.1:1", "127.0.0.1:2"], "127.0.0.1:1"),
    ])
    func theFirstTCPAddressIsTheProxy(_ listeners: [String], _ address: String) throws {
        let setup = try #require(ProxySetup(listeners: listeners, pac: "p"))
        #expect(setup.address == address)
        #expect(setup.pacFile.contains("return \"PROXY \(address)\";"))
        // Each app's line has the address, except Firefox' line, which has host and port apart.
        for line in setup.lines where !line.app.hasPrefix("Firefox") { #expect(line.text.contains(address), "\(line)") }
        #expect(setup.lines.count == 6 && setup.pac == "p")
    }

    @Test(arguments: [
        [], ["unix:/a"], ["systemd:socks"], ["127.0.0.1:0"], ["127.0.0.1:1\"; return \"DIRECT"], ["</script>:1"],
        ["example.org:1080"],
    ])
    func whatIsNoAddressGivesNoSetup(_ listeners: [String]) {
        #expect(ProxySetup(listeners: listeners, pac: "p") == nil)
    }

    @Test("L2: the PAC file asks no name server and goes direct to this machine alone")
    func thePACFileIsAWayToTheProxyAlone() throws {
        let text = try #require(ProxySetup(listeners: ["127.0.0.1:1080"], pac: "p")).pacFile
        #expect(text.split(separator: "DIRECT", omittingEmptySubsequences: false).count == 2)
        for call in ["dnsResolve", "isResolvable", "isInNet", "myIpAddress", "isPlainHostName", "dnsDomainIs", "alert"]
        {
            #expect(!text.contains(call), "\(call)")
        }
    }

    @Test("L1: the PAC file names the port as an HTTP proxy alone, since browsers may look names up for SOCKS")
    func thePACFileLeaksNoNames() throws {
        let text = try #require(ProxySetup(listeners: ["127.0.0.1:1080"], pac: "p")).pacFile
        #expect(!text.contains("SOCKS") && text.contains("\"PROXY 127.0.0.1:1080\""))
    }

    @Test func firefoxNeverGoesPastTheProxy() throws {
        let setup = try #require(ProxySetup(listeners: ["[::1]:1080"], pac: "p"))
        let text = try #require(setup.lines.first { $0.app.hasPrefix("Firefox") }).text
        for line in [
            #"user_pref("network.proxy.socks", "::1");"#, #"user_pref("network.proxy.socks_port", 1080);"#,
            #"user_pref("network.proxy.socks5_remote_dns", true);"#,
            #"user_pref("network.proxy.failover_direct", false);"#, #"user_pref("network.proxy.no_proxies_on", "");"#,
        ] { #expect(text.contains(line)) }
        #expect(text == setup.firefoxPreferences)
    }

    @Test func chromiumSendsNoNamesAndNoUDPPastTheProxy() throws {
        let setup = try #require(ProxySetup(listeners: ["[::1]:1080"], pac: "p"))
        let options = [
            "--proxy-server=socks5://[::1]:1080", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE [::1]",
            "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        ]
        #expect(setup.chromiumOptions == options)
        let text = try #require(setup.lines.first { $0.app == "Chromium" }).text
        let rules = "--host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE [::1]'"
        #expect(text == "chromium \(options[0]) \(rules) \(options[2]) --user-data-dir=\"$HOME/.chromium-tunic\"")
    }
}
