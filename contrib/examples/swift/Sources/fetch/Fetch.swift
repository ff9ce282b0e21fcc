// Fetches a page through a Tunic network: swift run fetch NETWORK-FILE DATA-FOLDER HOST PORT PATH
import Glibc
import Tunic

@main
struct Fetch {
    static func main() async throws {
        let words = CommandLine.arguments
        guard words.count == 6, let port = UInt16(words[4]) else {
            return print("usage: fetch NETWORK-FILE DATA-FOLDER HOST PORT PATH")
        }
        let client = try await TunicClient.start(TunicConfiguration(networkFileAt: words[1], dataFolder: words[2]))
        try await client.untilReady()
        let stream = try await client.open(words[3], port: port, isolation: "fetch")
        try await stream.write(Array("GET \(words[5]) HTTP/1.0\r\nHost: \(words[3]):\(port)\r\n\r\n".utf8))
        while case let bytes = try await stream.read(), !bytes.isEmpty {
            _ = write(STDOUT_FILENO, bytes, bytes.count)
        }
        await client.shutDown()
    }
}
