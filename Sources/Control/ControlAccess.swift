/// The group whose members may look at what a process does, and change nothing.
public struct ControlGroup: Sendable, Equatable {
    /// The group's number.
    public var id: UInt32
    /// The group's name, for what is said to those who are refused.
    public var name: String

    /// The group `name` with the number `id`.
    public init(id: UInt32, name: String) {
        self.id = id
        self.name = name
    }
}

/// What a connection to a control socket may ask for.
enum ControlRights: Equatable {
    /// Everything: root, and the user who runs the process.
    case all
    /// The commands that ``ControlCommand/isLook`` says, for members of the group.
    case look
    /// Nothing.
    case none

    /// The number that the kernel gives for each user who is unknown in the namespace of the process.
    private static let unknownUser: UInt32 = 65_534

    /// The rights of `user` towards a process of the user `own`; `isMember` is asked for other users only.
    ///
    /// A process in a user namespace of its own, as systemd's PrivateUsers= makes it, sees all foreign users as one. Where a
    /// group may open the socket that number is nobody's own.
    static func of(user: UInt32?, own: UInt32, hasGroup: Bool, isMember: () -> Bool) -> ControlRights {
        if let user, user == 0 || (user == own && !(hasGroup && user == unknownUser)) { return .all }
        return isMember() ? .look : .none
    }

    /// Why `command` is refused to who has these rights; nil when it is not.
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
    /// Whether it only shows what is there, without secrets: what members of the group may ask for.
    ///
    /// The log is left out, because it tells what single paths do, and so is the page, whose address is a secret.
    /// A check sends packets, and a dry run verifies signatures.
    public var isLook: Bool {
        switch self {
        case .status, .paths, .exits, .streams, .metrics, .nodes, .account, .operation: true
        case .newpath, .log, .web, .submit, .dryrun, .maintenance, .check, .reload: false
        }
    }
}
