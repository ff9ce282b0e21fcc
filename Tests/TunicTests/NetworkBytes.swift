import Directory
import Wire

/// A network file whose node never answers.
enum NetworkBytes {
    static func make() -> [UInt8] {
        let creation = NetworkCreation(
            name: "test", nodes: [.init(addresses: [Endpoint("9.9.9.9:1090")!])], at: UnixTime(seconds: 1_700_000_000))
        return creation.file.json()
    }
}
