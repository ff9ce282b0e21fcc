import Wire

/// The head of an HTTP/1 request to a proxy: CONNECT, or a request for an http: URL.
///
/// See RFC 9112, sections 2 to 5, and RFC 9110, section 9.3.6. It is stricter than HTTP: lines end with CR LF, no line
/// is folded, and ambiguous heads are refused.
enum HTTPHead {
    /// The longest head in bytes, with the empty line at its end.
    static let maximumSize = 16_384

    /// One field of a head.
    struct Field {
        /// The name in lower case, so that equal names have equal bytes.
        let name: String
        let value: [UInt8]
        /// The line without its end.
        let line: [UInt8]
    }

    private static let lineFeed = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")
    private static let space = UInt8(ascii: " ")
    private static let tab = UInt8(ascii: "\t")
    private static let colon = UInt8(ascii: ":")

    /// The end of the head in `bytes`, of which the first `scanned` were examined before; nil while it is not there.
    ///
    /// Throws at the first byte that cannot be part of a head.
    static func end(in bytes: [UInt8], scanned: inout Int) throws(SocksError) -> Int? {
        while scanned < bytes.count {
            let byte = bytes[scanned]
            let isBehindReturn = scanned > 0 && bytes[scanned - 1] == carriageReturn
            guard isBehindReturn == (byte == lineFeed) else { throw .badHead }
            guard byte >= space && byte != 0x7f || [lineFeed, carriageReturn, tab].contains(byte) else {
                throw .badHead
            }
            scanned += 1
            if byte == lineFeed, scanned >= 4, bytes[scanned - 3] == lineFeed { return scanned }
        }
        guard bytes.count < maximumSize else { throw .headTooLong }
        return nil
    }

    /// The request in a complete head.
    static func request(_ head: ArraySlice<UInt8>) throws(SocksError) -> SocksRequest {
        let lines = head.split(separator: lineFeed).map { $0.dropLast() }
        guard let first = lines.first else { throw .badHead }
        let words = first.split(separator: space, maxSplits: 3, omittingEmptySubsequences: false).map(Array.init)
        guard words.count == 3, isToken(words[0]), !words[1].isEmpty, words[2].count == 8,
            words[2].starts(with: "HTTP/1.".utf8), isDigit(words[2][7])
        else { throw .badHead }
        let fields = try fields(lines.dropFirst().dropLast())
        let isConnect = words[0].elementsEqual("CONNECT".utf8)
        let isHead = words[0].elementsEqual("HEAD".utf8)
        let target = isConnect ? nil : try HTTPTarget(words[1][...], method: words[0][...])
        guard isConnect || target != nil else { throw .notConnect(isHead: isHead) }
        // There must be one Host (RFC 9112, section 3.2); its value is not used.
        let hosts = fields.count { $0.name == "host" }
        let isVersion0 = words[2][7] == UInt8(ascii: "0")
        guard hosts == 1 || hosts == 0 && isVersion0 else { throw .badHead }
        if let target {
            var request = SocksRequest(
                command: .connect, destination: target.destination,
                credentials: try credentials(fields, isHead: isHead), via: .http)
            request.forward = try HTTPForward.request(words[0][...], target, fields, isVersion0: isVersion0)
            return request
        }
        // CONNECT has no content: the bytes after the head belong to the tunnel.
        guard
            fields.allSatisfy({
                $0.name != "transfer-encoding" && ($0.name != "content-length" || $0.value == [UInt8(ascii: "0")])
            })
        else { throw .badHead }
        return SocksRequest(
            command: .connect, destination: try destination(words[1]),
            credentials: try credentials(fields, isHead: false), via: .http)
    }

    private static func fields(_ lines: ArraySlice<ArraySlice<UInt8>>) throws(SocksError) -> [Field] {
        var fields: [Field] = []
        for line in lines {
            let bytes = Array(line)
            guard let end = bytes.firstIndex(of: colon), isToken(bytes[..<end]) else { throw .badHead }
            fields.append(
                Field(
                    name: lowered(bytes[..<end]),
                    value: Array(trimmed(bytes[(end + 1)...])), line: bytes))
        }
        return fields
    }

    /// `bytes` without the spaces and tabs around them.
    static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isSpace = { (byte: UInt8) in byte == space || byte == tab }
        var value = bytes.drop(while: isSpace)
        while let last = value.last, isSpace(last) { value.removeLast() }
        return value
    }

    /// The port in decimal digits.
    static func port(_ digits: ArraySlice<UInt8>) throws(SocksError) -> UInt16 {
        guard 1...5 ~= digits.count, digits.allSatisfy(isDigit),
            let port = UInt16(String(decoding: digits, as: UTF8.self)), port != 0
        else { throw .badPort }
        return port
    }

    /// Host and port; both are required, because CONNECT has no default (RFC 9110, section 9.3.6).
    private static func destination(_ target: [UInt8]) throws(SocksError) -> Destination {
        guard let end = target.lastIndex(of: colon) else { throw .badHead }
        let port = try port(target[(end + 1)...])
        let host = Array(target[..<end])
        // An IPv6 address needs brackets, or its last group would be taken for the port.
        guard host.first == UInt8(ascii: "[") || !host.contains(colon) else { throw .badName }
        return Destination(host: try SocksFields.host(spelled: host), port: port)
    }

    /// The user and password of Basic authentication (RFC 7617); nil without any.
    ///
    /// Others are an error, and the answer says which are taken (RFC 9110, section 11.7.1): an app that sends
    /// credentials must not be treated as one that sends none.
    private static func credentials(_ fields: [Field], isHead: Bool) throws(SocksError) -> SocksCredentials? {
        let values = fields.filter { $0.name == "proxy-authorization" }.map(\.value)
        guard let value = values.first else { return nil }
        guard values.count == 1 else { throw .badHead }
        let words = value.split(separator: space)
        guard words.count == 2, isToken(words[0]), lowered(words[0]) == "basic",
            let pair = base64(words[1]), let end = pair.firstIndex(of: colon)
        else { throw .badCredentials(isHead: isHead) }
        return SocksCredentials(user: Array(pair[..<end]), password: Array(pair[(end + 1)...]))
    }

    /// The bytes encoded in Base64 (RFC 4648, section 4), with padding.
    private static func base64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        let padding = text.reversed().prefix { $0 == UInt8(ascii: "=") }.count
        guard padding <= 2 else { return nil }
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var held = 0
        for byte in text.dropLast(padding) {
            guard let value = sextet(byte) else { return nil }
            bits = bits << 6 | value
            held += 6
            if held >= 8 {
                held -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
            }
        }
        return bytes
    }

    private static func sextet(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }

    /// A token in lower case.
    ///
    /// Tokens are ASCII. `String.lowercased()` turns other characters into ASCII letters too, and `==` treats some
    /// characters as equal to the ASCII ones: the server would then read a different token.
    static func lowered(_ token: some Collection<UInt8>) -> String {
        precondition(isToken(token), "only a token has letters of ASCII alone")
        return String(
            decoding: token.map { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 ? $0 | 0x20 : $0 }, as: UTF8.self)
    }

    static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

    /// Whether it is a token (RFC 9110, section 5.6.2).
    static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
        !bytes.isEmpty
            && bytes.allSatisfy { byte in
                let isLetter = UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
                return isLetter || isDigit(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
    }
}
