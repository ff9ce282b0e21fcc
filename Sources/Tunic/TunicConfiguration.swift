internal import Directory
public import Logging

/// The configuration of a client.
public struct TunicConfiguration: Sendable {
    /// The bytes of the network file, which has the first trusted snapshot.
    public var networkFile: [UInt8]
    /// The data folder, which no other client may use at the same time; it is made if its parent folder exists.
    ///
    /// It keeps the guards and the state of the network. Without it, each start would choose other guards.
    public var dataFolder: String
    /// The number of hops of a path, 1 to 4.
    public var hops = 3
    /// The most streams and UDP sockets at a time.
    var streamLimit = 8_192
    /// The destination of log lines; none by default.
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
