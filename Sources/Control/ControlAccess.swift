/// The group whose members may read the state of a process, and change nothing.
public struct ControlGroup: Sendable, Equatable {
    /// The group's number.
    public var id: UInt32
    /// The group's name, for the message to a refused user.
    public var name: String

    /// The group `name` with the number `id`.
    public init(id: UInt32, name: String) {
        self.id = id
        self.name = name
    }
}

/// The rights of a connection to a control socket.
enum ControlRights: Equatable {
    /// All commands: for root, and for the user who runs the process.
    case all
    /// The commands with ``ControlCommand/isLook``, for members of the group.
    case look
    /// No command.
    case none

    /// The user id that the kernel reports for each user who is unknown in the process's namespace.
    private static let unknownUser: UInt32 = 65_534

    /// The rights of `user` in a process of the user `own`; `isMember` is called for other users only.
    ///
    /// A process in a separate user namespace, such as that of systemd's PrivateUsers=, sees all foreign users as one
    /// id. If a group may open the socket, that id gets no user's rights.
    static func of(user: UInt32?, own: UInt32, hasGroup: Bool, isMember: () -> Bool) -> ControlRights {
        if let user, user == 0 || (user == own && !(hasGroup && user == unknownUser)) { return .all }
        return isMember() ? .look : .none
    }

    /// Why these rights do not permit `command`; nil if they do.
    func refusal(of command: ControlCommand, group: ControlGroup?) -> String? {
        switch self {
        case .all: return nil
        case .look where command.isLook: return nil
        case .look:
            let looks = ControlCommand.allCases.filter(\.isLook).map(\.rawValue).joined(separator: ", ")
            let name = group?.name ?? "-"
            return "members of the group \(name) may look (\(looks)), not ask for \(command.rawValue); ask as "
                + "root or as the user who runs the process"
        case .none:
            let members = group.map { "; members of the group \($0.name) may look" } ?? ""
            return "only root and the user who runs the process may ask\(members)"
        }
    }
}

extension ControlCommand {
    /// Whether the command only reads state without secrets, so that members of the group may use it.
    ///
    /// The log is excluded because it reports about single paths, and the page because its address is a secret. A check
    /// and a request send packets, and a dry run verifies signatures.
    public var isLook: Bool {
        switch self {
        case .status, .paths, .exits, .streams, .metrics, .nodes, .account, .operation: true
        case .newpath, .log, .web, .submit, .dryrun, .maintenance, .check, .request, .box, .reload: false
        }
    }
}
