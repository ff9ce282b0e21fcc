import Wire

/// A request for an http: URL, forwarded to its server (RFC 9112, section 3.2.2), one for each connection.
public struct HTTPForward: Hashable, Sendable {
    /// The head for the server.
    public let head: [UInt8]
    /// The end of the body after the head.
    public var body: HTTPBody
    /// Whether it is a HEAD request, whose answer has no body.
    public let isHead: Bool

    /// Hop-by-hop fields between the app and the proxy (RFC 9110, section 7.6.1).
    private static let between: Set<String> = [
        "connection", "proxy-connection", "keep-alive", "te", "upgrade", "proxy-authorization", "proxy-authenticate",
    ]
    /// Fields that `Connection` may not remove: without them the request would change its meaning.
    private static let needed: Set<String> = ["host", "content-length", "transfer-encoding"]

    /// The request for `target` with these fields, and its destination.
    ///
    /// Ambiguous requests are refused: two lengths, a length with chunks, or a coding other than chunked.
    static func request(
        _ method: ArraySlice<UInt8>, _ target: HTTPTarget, _ fields: [HTTPHead.Field], isVersion0: Bool
    ) throws(SocksError) -> HTTPForward {
        var named: Set<String> = []
        for field in fields where field.name == "connection" {
            for word in field.value.split(separator: UInt8(ascii: ",")) {
                let word = HTTPHead.trimmed(word)
                if word.isEmpty { continue }
                guard HTTPHead.isToken(word), case let token = HTTPHead.lowered(word), !needed.contains(token) else {
                    throw .badHead
                }
                named.insert(token)
            }
        }
        var head = Array(method) + bytes(" ") + target.path + bytes(isVersion0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n")
        head += bytes("Host: ") + target.authority + bytes("\r\n")
        for field in fields
        where field.name != "host" && !between.contains(field.name) && !named.contains(field.name) {
            head += field.line + bytes("\r\n")
        }
        head += bytes("Connection: close\r\n\r\n")
        return HTTPForward(
            head: head, body: try body(fields, isVersion0: isVersion0), isHead: method.elementsEqual("HEAD".utf8))
    }

    private static func body(_ fields: [HTTPHead.Field], isVersion0: Bool) throws(SocksError) -> HTTPBody {
        let lengths = fields.filter { $0.name == "content-length" }.map(\.value)
        let codings = fields.filter { $0.name == "transfer-encoding" }.map(\.value)
        if let coding = codings.first {
            let isChunked = HTTPHead.isToken(coding) && HTTPHead.lowered(coding) == "chunked"
            guard codings.count == 1, lengths.isEmpty, isChunked, !isVersion0 else { throw .badHead }
            return HTTPBody()
        }
        guard let length = lengths.first else { return HTTPBody(length: 0) }
        guard lengths.count == 1, 1...18 ~= length.count, length.allSatisfy(HTTPHead.isDigit),
            let count = UInt64(String(decoding: length, as: UTF8.self))
        else { throw .badHead }
        return HTTPBody(length: count)
    }

    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
}

/// An http: URL as a request's target.
struct HTTPTarget {
    let destination: Destination
    /// Host and port as in the URL.
    let authority: [UInt8]
    /// The target of the request to the server.
    let path: [UInt8]

    /// Reads `target`; nil if its scheme is not http, an error if it is an http: URL that cannot be requested.
    init?(_ target: ArraySlice<UInt8>, method: ArraySlice<UInt8>) throws(SocksError) {
        let scheme = Array("http://".utf8)
        guard target.count >= scheme.count,
            zip(target, scheme).allSatisfy({ $0 == $1 || $0 | 0x20 == $1 && $1 >= UInt8(ascii: "a") })
        else { return nil }
        let rest = target.dropFirst(scheme.count)
        let end = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
        let authority = Array(rest[..<end])
        let path = rest[end...]
        guard target.allSatisfy({ $0 > UInt8(ascii: " ") && $0 != UInt8(ascii: "#") }) else { throw .badHead }
        let closing = authority.lastIndex(of: UInt8(ascii: "]")) ?? 0
        var host = authority
        var port: UInt16 = 80
        if let colon = authority.lastIndex(of: UInt8(ascii: ":")), colon >= closing {
            port = try HTTPHead.port(authority[(colon + 1)...])
            host = Array(authority[..<colon])
        }
        guard host.first == UInt8(ascii: "[") || !host.contains(UInt8(ascii: ":")) else { throw .badName }
        destination = Destination(host: try SocksFields.host(spelled: host), port: port)
        self.authority = authority
        let isOptions = method.elementsEqual("OPTIONS".utf8)
        if path.isEmpty {
            self.path = Array((isOptions ? "*" : "/").utf8)
        } else {
            self.path = (path.first == UInt8(ascii: "?") ? [UInt8(ascii: "/")] : []) + path
        }
    }
}

/// The end of a request's body: by its length, or by its chunks (RFC 9112, sections 6.2 and 7.1).
public struct HTTPBody: Hashable, Sendable {
    /// The most bytes of one chunk's extension, and of all trailer fields together.
    static let lineLimit = 4_096

    private enum State: Hashable, Sendable {
        case length(UInt64)
        /// The digits of a chunk's size.
        case size(UInt64, digits: Int)
        case sizeExtension(UInt64, count: Int)
        case sizeEnd(UInt64)
        case piece(UInt64)
        case pieceReturn
        case pieceEnd
        /// The first byte of a trailer field or of the last line.
        case trailerStart(count: Int)
        case trailer(count: Int)
        case trailerEnd(count: Int)
        case lastEnd
        case done
    }

    private var state: State

    /// A body of `length` bytes.
    init(length: UInt64) { state = length == 0 ? .done : .length(length) }

    /// A chunked body.
    init() { state = .size(0, digits: 0) }

    /// Whether the whole body has been taken.
    public var isDone: Bool { state == .done }

    /// How many of the next bytes belong to the body; the bytes after these are another request.
    ///
    /// Throws for a malformed body.
    public mutating func take(_ bytes: RawSpan) throws(SocksError) -> Int {
        var offset = 0
        while offset < bytes.byteCount {
            switch state {
            case .done: return offset
            case .length(let left):
                let count = min(left, UInt64(bytes.byteCount - offset))
                offset += Int(count)
                state = left == count ? .done : .length(left - count)
            case .piece(let left):
                let count = min(left, UInt64(bytes.byteCount - offset))
                offset += Int(count)
                state = left == count ? .pieceReturn : .piece(left - count)
            case .size, .sizeExtension, .sizeEnd, .pieceReturn, .pieceEnd, .trailerStart, .trailer, .trailerEnd,
                .lastEnd:
                // Within the bytes, by the loop's condition.
                state = try Self.next(state, unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
                offset += 1
            }
        }
        return offset
    }

    private static func next(_ state: State, _ byte: UInt8) throws(SocksError) -> State {
        let (isReturn, isLineFeed) = (byte == UInt8(ascii: "\r"), byte == UInt8(ascii: "\n"))
        let isText = byte >= UInt8(ascii: " ") && byte != 0x7f || byte == UInt8(ascii: "\t")
        switch state {
        case .size(let value, let digits):
            if let digit = hexadecimalDigit(byte), digits < 15 {
                return .size(value << 4 | UInt64(digit), digits: digits + 1)
            }
            guard digits > 0 else { throw .badHead }
            if isReturn { return .sizeEnd(value) }
            guard byte == UInt8(ascii: ";") else { throw .badHead }
            return .sizeExtension(value, count: 0)
        case .sizeExtension(let value, let count):
            if isReturn { return .sizeEnd(value) }
            guard isText, count < lineLimit else { throw .badHead }
            return .sizeExtension(value, count: count + 1)
        case .sizeEnd(let value):
            guard isLineFeed else { throw .badHead }
            return value == 0 ? .trailerStart(count: 0) : .piece(value)
        case .pieceReturn:
            guard isReturn else { throw .badHead }
            return .pieceEnd
        case .pieceEnd:
            guard isLineFeed else { throw .badHead }
            return .size(0, digits: 0)
        case .trailerStart(let count):
            if isReturn { return .lastEnd }
            guard isText, byte != UInt8(ascii: " "), byte != UInt8(ascii: "\t"), count < lineLimit else {
                throw .badHead
            }
            return .trailer(count: count + 1)
        case .trailer(let count):
            if isReturn { return .trailerEnd(count: count) }
            guard isText, count < lineLimit else { throw .badHead }
            return .trailer(count: count + 1)
        case .trailerEnd(let count):
            guard isLineFeed else { throw .badHead }
            return .trailerStart(count: count)
        case .lastEnd:
            guard isLineFeed else { throw .badHead }
            return .done
        case .length, .piece, .done: preconditionFailure("bytes of these are counted, not looked at")
        }
    }
}
