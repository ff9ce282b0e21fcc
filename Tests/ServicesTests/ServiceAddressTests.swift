import OnionCrypto
import SeededRandom
import ServicesModel
import SwarmModel
import Testing
import Wire

@testable import Services

@Suite struct ServiceAddressTests {
    private let service = Service(1)

    private func fault(_ text: String) -> ServiceAddressError? {
        do throws(ServiceAddressError) {
            _ = try ServiceAddress(text)
            return nil
        } catch {
            return error
        }
    }

    /// The text of a key, of any version and with check digits of any text.
    private func text(_ key: Bytes32, version: UInt8 = 1, prefix: String = "tunic service address") -> String {
        let bytes = key.array + [version]
        let digits = Blake2b.digest((Array(prefix.utf8) + [0] + bytes).rawSpan).array[..<2]
        return ZBase32.encode(bytes + digits) + ".tunic"
    }

    @Test func addressesComeBack() throws {
        for number in 0..<200 as Range<UInt32> {
            let address = Service(number).address
            let text = address.description
            #expect(text.utf8.count == 62 && text.hasSuffix(".tunic") && text == text.lowercased())
            #expect(try ServiceAddress(text) == address)
            #expect(text == self.text(address.key))
        }
    }

    @Test("SV5: each fault of a text has its name")
    func sv5_faults() {
        let good = service.address.description
        let name = String(good.dropLast(6))
        let node = NodeID(service.identity).description
        let rest = good.dropFirst()
        let place = good.firstIndex { "a"..."z" ~= $0 } ?? good.startIndex
        let capital = good[..<place] + good[place...place].uppercased() + good[good.index(after: place)...]
        var cases: [(String, ServiceAddressError?)] = [
            (good, nil), (name, .noSuffix), ("", .noSuffix), ("tunic", .noSuffix),
            ("\(good).", .trailingDot), (".", .trailingDot), ("\(good)..", .trailingDot),
            ("\(name).onion", .otherSuffix), ("\(name).i2p", .otherSuffix), ("\(name).loki", .otherSuffix),
            ("\(good).example", .otherSuffix), ("\(name).tunics", .otherSuffix), ("a.b", .otherSuffix),
            ("\(good) ", .otherSuffix), ("\(good)\0", .otherSuffix), (node, .node), ("\(name).SNODE", .node),
            (good.uppercased(), .upperCase), ("\(name).Tunic", .upperCase), (String(capital), .upperCase),
        ]
        cases += [
            ("www.\(good)", .labels), ("a.b.\(good)", .labels), (".\(good)", .labels), ("\(name)..tunic", .labels),
            (".tunic", .wrongLength(0)), ("wiki.tunic", .wrongLength(4)), ("y\(good)", .wrongLength(57)),
            (String(rest), .wrongLength(55)), ("\(node.dropLast(6)).tunic", .wrongLength(52)),
            ("l\(rest)", .wrongCharacter), ("0\(rest)", .wrongCharacter), (" \(rest)", .wrongCharacter),
            ("\0\(rest)", .wrongCharacter), ("é\(rest.dropFirst())", .wrongCharacter),
            (text(service.identity, version: 2), .unknownVersion(2)),
            (text(service.identity, prefix: "tunic service addres"), .wrongCheckDigits),
            (text(Bytes32()), .invalidKey),
        ]
        for (text, expected) in cases { #expect(fault(text) == expected, "\(text)") }
    }

    @Test("SV5: of 65,536 typos at most three pass for another address")
    func sv5_typos() {
        var random = SeededGenerator(seed: 5)
        let alphabet = Array("ybndrfg8ejkmcpqxot1uwisza345h769".utf8)
        let good = Array(service.address.description.utf8)
        var passed = 0
        for number in 0..<65_536 {
            var typo = good
            if number % 4 == 0 {
                // Two neighbours change places.
                typo.swapAt(number / 4 % 55, number / 4 % 55 + 1)
            } else {
                for _ in 0..<number % 4 {
                    typo[Int.random(in: 0..<56, using: &random)] = alphabet.randomElement(using: &random)!
                }
            }
            guard typo != good else { continue }
            if fault(String(decoding: typo, as: UTF8.self)) == nil { passed += 1 }
        }
        #expect(passed <= 3)
    }

    @Test("SV5: a key with a point of low order has no address, though the check digits fit")
    func sv5_twins() throws {
        for text in Self.twins {
            let key = try #require(Bytes32(bytes(text)))
            #expect(throws: ServiceAddressError.invalidKey) { _ = try ServiceAddress(key) }
            #expect(fault(self.text(key)) == .invalidKey, "\(text)")
        }
    }

    /// The seven twins of ``Service/identity`` of the vectors, points of low order, and other encodings of y = 0 and y = 1.
    private static let twins = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        // The base point plus the point of order two.
        "9599999999999999999999999999999999999999999999999999999999999999",
    ]

    private func bytes(_ text: String) -> [UInt8] {
        stride(from: 0, to: 64, by: 2).compactMap { UInt8(text.dropFirst($0).prefix(2), radix: 16) }
    }

    @Test func namesHaveLabels() throws {
        let good = service.address.description
        let cases = [
            (good, ""), (good.uppercased() + ".", ""), ("www." + good, "www"), ("WWW." + good, "www"),
            ("a.b-c._d." + good, "a.b-c._d"), ("tunic." + good, "tunic"),
        ]
        for (text, labels) in cases {
            let name = try ServiceName(try #require(HostName(text)))
            #expect(name.address == service.address && name.labels == labels, "\(text)")
        }
    }

    @Test("SV5: a name without an address has a named fault")
    func sv5_names() throws {
        let good = service.address.description
        let swapped = String(good.dropFirst(2)) + ""
        let cases: [(String, ServiceAddressError)] = [
            ("tunic", .noSuffix), ("localhost", .noSuffix), ("example.org", .otherSuffix), ("a.onion", .otherSuffix),
            (NodeID(service.identity).description, .node), ("wiki.tunic", .wrongLength(4)),
            (swapped, .wrongLength(54)), ("l" + good.dropFirst(), .wrongCharacter),
            (good + ".example", .otherSuffix), ("\(good.dropLast(6)).www.tunic", .wrongLength(3)),
        ]
        for (text, fault) in cases {
            let name = try #require(HostName(text))
            #expect(throws: fault, "\(text)") { _ = try ServiceName(name) }
        }
        // The labels do not count for the check digits, and do not hide that they are wrong.
        var wrong = Array(good.utf8)
        wrong.swapAt(3, wrong.firstIndex { $0 != wrong[3] }!)
        let name = try #require(HostName("www." + String(decoding: wrong, as: UTF8.self)))
        #expect(throws: ServiceAddressError.wrongCheckDigits) { _ = try ServiceName(name) }
    }
}
