internal import Directory
public import Logging

/// What a client is made from.
public struct TunicConfiguration: Sendable {
    /// The bytes of the network file, which say whom the client trusts first.
    public var networkFile: [UInt8]
    /// A folder of this client's alone, made where only it is missing: it keeps the guards, without which each start would choose
    /// others, and what is known of the network.
    public var dataFolder: String
    /// How many hops a path has, 1 to 4.
    public var hops = 3
    /// How many streams and UDP sockets there may be.
    var streamLimit = 8_192
    /// Where log lines go; nowhere unless said otherwise.
    public var log = Logger(label: "tunic") { _ in SwiftLogNoOpLogHandler() }

    /// A client of the network that `networkFile` describes.
    public init(networkFile: [UInt8], dataFolder: String) {
        self.networkFile = networkFile
        self.dataFolder = dataFolder
    }

    /// A client of the network whose file is at `path`.
    public init(networkFileAt path: String, dataFolder: String) throws(TunicError) {
        self.init(networkFile: try FileBytes.read(path, limit: NetworkFile.maximumFileSize), dataFolder: dataFolder)
    }
}
