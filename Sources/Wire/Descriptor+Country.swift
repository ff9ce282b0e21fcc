extension Descriptor {
    /// The kinds of extension (protocol.md, section 10.1): each is a kind, a length and that many bytes.
    enum ExtensionKind {
        /// Two capital letters: the country of the node, by its own statement.
        static let country: UInt8 = 1
    }

    /// The country of the node by its own statement, two capital letters, by which clients can choose it; it is not
    /// verified.
    ///
    /// Setting it keeps other extensions; a text other than two capital letters removes it.
    public var country: String? {
        get {
            guard let value = extensionValue(of: ExtensionKind.country), Self.isCountry(value) else { return nil }
            return String(decoding: value, as: UTF8.self)
        }
        set {
            var rest: [UInt8] = []
            forEachExtension { kind, value in
                if kind != ExtensionKind.country { rest += [kind, UInt8(value.count)] + value }
            }
            if let newValue, Self.isCountry(newValue.utf8) {
                rest = [ExtensionKind.country, UInt8(newValue.utf8.count)] + Array(newValue.utf8) + rest
            }
            extensions = rest
        }
    }

    /// Whether these are two capital letters.
    public static func isCountry(_ text: some Collection<UInt8>) -> Bool {
        text.count == 2 && text.allSatisfy { 0x41...0x5a ~= $0 }
    }

    private func extensionValue(of wanted: UInt8) -> ArraySlice<UInt8>? {
        var found: ArraySlice<UInt8>?
        forEachExtension { kind, value in if kind == wanted, found == nil { found = value } }
        return found
    }

    /// Calls `visit` for each extension; ignores a truncated one at the end.
    private func forEachExtension(_ visit: (UInt8, ArraySlice<UInt8>) -> Void) {
        var rest = extensions[...]
        while rest.count >= 2, rest.count >= 2 + Int(rest[rest.startIndex + 1]) {
            let length = Int(rest[rest.startIndex + 1])
            visit(rest[rest.startIndex], rest.dropFirst(2).prefix(length))
            rest = rest.dropFirst(2 + length)
        }
    }
}
