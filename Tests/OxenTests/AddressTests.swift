import Testing

@testable import Oxen

struct AddressTests {
    @Test(arguments: [
        ("http://127.0.0.1:22023", "http://127.0.0.1:22023", false),
        ("http://[::1]:22023/", "http://[::1]:22023", false),
        ("http://localhost:1", "http://localhost:1", false), ("http://10.0.0.7:22023", "http://10.0.0.7:22023", true),
        ("http://node.example:22023", "http://node.example:22023", true),
        ("https://node.example:443", "https://node.example:443", false),
        ("http://me:secret@127.0.0.1:22023", "http://127.0.0.1:22023", false),
        ("http://me:127.0.0.1@192.0.2.7:22023", "http://192.0.2.7:22023", true),
    ])
    func anAddressIsShownWithoutItsPassword(_ text: String, shown: String, isExposed: Bool) throws {
        let address = try OxendAddress(text)
        #expect(address.description == shown)
        #expect(address.isExposed == isExposed)
        #expect(address.url.hasSuffix("/json_rpc"))
    }

    @Test(arguments: [
        "", "127.0.0.1:22023", "ftp://127.0.0.1:22023", "http://127.0.0.1", "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://::1:22023", "http://127.0.0.1:22023/json_rpc", "http://127.0.0.1:22023?x", "http://:22023",
        "http://[]:1",
        "http://127.0.0.1:22 023",
    ])
    func whatIsNoAddressIsRefused(_ text: String) {
        #expect(throws: OxendError.self) { try OxendAddress(text) }
    }
}
