internal import Control
internal import EventLoop
internal import Glibc
internal import Process

/// The control socket that commands ask if none is named, taken for a client that runs in another folder.
struct StandardControl {
    let path: String
    /// The socket's folder, if it was made for this.
    private let madeFolder: String?

    /// Nil if a process or another file is there, or if commands ask another socket (`TUNIC_CONTROL`, the service's).
    init?() {
        guard let folder = try? ClientFolder.defaultPath(), let asked = try? ControlTarget(nil).path else { return nil }
        path = "\(folder)/\(ClientFolder.socketName)"
        guard asked == path, path.utf8.count <= ControlSocket.longestPath, StreamListener.isFree(unixPath: path) else {
            return nil
        }
        let isThere = Files.isFolder(folder)
        do { try Files.makeFolders(folder) } catch { return nil }
        madeFolder = isThere ? nil : folder
    }

    /// Removes the socket that a killed client left there, and its folder if that is empty and was made for it.
    func remove() {
        if StreamListener.isFree(unixPath: path) { Files.remove(path) }
        if let madeFolder { unsafe rmdir(madeFolder) }
    }
}
