internal import Directory
package import Process

/// The source of a network file.
package enum NetworkSource: Equatable {
    case file(String)
    case address(String)

    /// More than a network file may have, so that a file that is too large differs from an endless one.
    private static let fetchLimit = NetworkFile.maximumFileSize + 64 << 10

    /// The source named by `text`: a path, file: and a path, an https:// address, or - for standard input.
    ///
    /// Throws for an address that cannot be fetched.
    package init(_ text: String) throws(Failure) {
        guard text != "-" else {
            self = .file("/dev/stdin")
            return
        }
        guard let end = text.firstIndex(of: ":"), text[end...].hasPrefix("://") || text.hasPrefix("file:") else {
            self = .file(text)
            return
        }
        switch text[..<end].lowercased() {
        case "https": self = .address(text)
        case "file":
            let rest = text[end...].dropFirst()
            self = .file(String(rest.hasPrefix("//") ? rest.dropFirst(2) : rest))
        case let scheme:
            throw Failure(
                .usage,
                "\(text): only https:// is fetched, because over \(scheme) anyone on the route could replace the file with "
                    + "another network's")
        }
    }

    /// The bytes, up to the largest network file; calls `note` with a message before a fetch.
    func read(_ note: (String) -> Void) throws(Failure) -> [UInt8] {
        switch self {
        case .file(let path): return try Files.read(path, limit: NetworkFile.maximumFileSize)
        case .address(let url):
            note("fetching \(url) over the ordinary internet, not through Tunic: this network and the server see it")
            let bytes = try SecureFetch.get(url, limit: Self.fetchLimit)
            guard bytes.count <= NetworkFile.maximumFileSize else { throw SecureFetch.tooLarge(url) }
            return bytes
        }
    }
}
