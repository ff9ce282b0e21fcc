import Testing
import Wire

@Suite struct IPAddressSpecialTests {
    @Test("S8: example addresses are known as such")
    func s8ExamplesAreNoPublicAddresses() throws {
        for text in ["192.0.2.33", "198.51.100.7", "203.0.113.9", "2001:db8::7"] {
            let address = try #require(IPAddress(text))
            #expect(address.isDocumentation && !address.isPublic)
        }
        for text in ["10.0.0.1", "8.8.8.8", "2001:db9::7", "203.0.112.1"] {
            #expect(try #require(IPAddress(text)).isDocumentation == false)
        }
    }
}
