internal import ArgumentParser
internal import Control
internal import Directory
internal import Glibc

/// The options that a client and a relay share.
struct RoleOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The network file.", valueName: "file"))
    var network: String

    @Option(help: ArgumentHelp("The control socket (default: control.sock in the data folder).", valueName: "path"))
    var control: String?

    @Option(
        name: .customLong("parent-fd"),
        help: ArgumentHelp("A pipe from the parent process, at whose end this process ends.", visibility: .hidden))
    var parent: Int32?

    @OptionGroup var logging: LogOptions

    mutating func validate() throws {
        if let parent, parent < 3 || fcntl(parent, F_GETFD) < 0 {
            throw ValidationError("--parent-fd \(parent) is no open descriptor")
        }
    }

    /// The control socket's path, which a unix socket can have.
    func controlPath(in folder: String) throws(Failure) -> String {
        let path = control ?? folder + "/" + ClientFolder.socketName
        guard path.utf8.count <= ControlSocket.longestPath else {
            throw Failure.of(ControlError.pathTooLong(path.utf8.count), path)
        }
        return path
    }
}
