package import Control
internal import Glibc
package import Settings

extension ControlGroup {
    /// The group in `settings`; nil if there is none.
    package init?(_ settings: Settings) throws(Failure) {
        guard let name = settings.text("control_group"), !name.isEmpty else { return nil }
        guard let id = Self.id(of: name) else {
            let message = "there is no group \(name); make it: sudo groupadd --system \(name)"
            let problem = settings.problem("control_group", message)
            throw Failure.of(SettingProblems([problem]))
        }
        self.init(id: id, name: name)
    }

    private static func id(of name: String) -> UInt32? {
        var record = unsafe group()
        var found: UnsafeMutablePointer<group>? = nil
        var buffer = [CChar](repeating: 0, count: 1 << 16)
        guard unsafe getgrnam_r(name, &record, &buffer, buffer.count, &found) == 0, unsafe found != nil else {
            return nil
        }
        return unsafe record.gr_gid
    }

    private static func name(of id: UInt32) -> String {
        var record = unsafe group()
        var found: UnsafeMutablePointer<group>? = nil
        var buffer = [CChar](repeating: 0, count: 1 << 16)
        guard unsafe getgrgid_r(id, &record, &buffer, buffer.count, &found) == 0, unsafe found != nil else {
            return "\(id)"
        }
        return unsafe String(cString: record.gr_name)
    }

    /// Whether the mode of the socket's folder at `path` lets the group in.
    package func mayEnterFolder(of path: String) -> Bool {
        guard let folder = Self.status(Self.folder(of: path)) else { return true }
        return folder.st_mode & 0o001 != 0 || (folder.st_gid == id && folder.st_mode & 0o010 != 0)
    }

    /// The remedy for a user who may not use the socket at `path`, in words.
    package static func remedy(_ path: String) -> String {
        let folder = folder(of: path)
        let isHidden = Files.isFolder(folder) && !Files.maySearch(folder)
        // The folder or the socket, whichever this user may not enter, belongs to the group that may.
        let bit: mode_t = isHidden ? 0o010 : 0o020
        if let shut = status(isHidden ? folder : path), shut.st_gid != 0, shut.st_mode & bit != 0 {
            let name = name(of: shut.st_gid)
            return "to look, join the group \(name): sudo usermod -aG \(name) USER, and log in again; to change "
                + "anything, ask as root: sudo tunic …"
        }
        if path.hasPrefix("/run/tunic/") { return "ask the system's service as root: sudo tunic …" }
        return "only root and the user who runs the process may ask"
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func status(_ path: String) -> stat? {
        var found = stat()
        return unsafe stat(path, &found) == 0 ? found : nil
    }
}
