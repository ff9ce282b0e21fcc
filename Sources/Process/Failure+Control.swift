package import Control
package import EventLoop
internal import Wire

extension Failure {
    /// The failure of a control socket at `path`; `asked` is what was asked there, if something was.
    package static func of(_ error: ControlError, _ path: String, asked: AskedProcess = .any) -> Failure {
        return switch error {
        case .pathTooLong(let count):
            Failure(
                .configuration,
                "\(path): a socket's path has at most \(ControlSocket.longestPath) bytes, this one has \(count); "
                    + "give a shorter one with --control")
        case .inUse:
            Failure(.inUse, "\(path): in use by another process or another file; give another path with --control")
        case .unreachable(let error) where error.name == "ENOENT":
            Failure(.unavailable, "\(path): no such socket; is \(asked.name) running? \(asked.remedy)")
        case .unreachable(let error) where error.kind == .connectionRefused:
            Failure(.unavailable, "\(path): nobody listens there, the process has ended; \(asked.remedy)")
        case .unreachable(let error) where error.kind == .notPermitted:
            Failure(.permission, "\(path): permission denied; \(ControlGroup.remedy(path))")
        case .unreachable(let error):
            Failure(.unavailable, "\(path): cannot connect (\(error.name))")
        case .system(let error) where error.name == "ENOENT":
            Failure(.noInput, "\(path): the folder of the control socket does not exist")
        case .system(let error) where error.kind == .notPermitted || error.name == "EROFS":
            Failure(.permission, "\(path): the control socket cannot be made there (\(error.name))")
        case .system(let error) where error.name == "ENOSPC":
            Failure(.io, "\(path): the control socket cannot be made: no space left")
        case .system(let error): Failure(.cannotCreate, "\(path): the control socket cannot be made (\(error))")
        case .timedOut: Failure(.unavailable, "\(path): no answer in time; the process hangs or is stopped")
        case .closed: Failure(.unavailable, "\(path): the connection was closed without an answer")
        case .malformedReply: Failure(.data, "\(path): the answer cannot be read; is it another program's socket?")
        case .refused(let reason): Failure(.unavailable, "\(path): \(reason)")
        case .denied(let reason): Failure(.permission, "\(path): \(reason)")
        }
    }

    /// A failure to listen at `address`, which `option` sets; a relay's may differ from the one that it announces.
    package static func listening(
        _ error: UVError, at address: String, option: String, isRelay: Bool = false
    ) -> Failure {
        switch error.kind {
        case .addressInUse:
            Failure(
                .unavailable,
                "\(address) is in use by another process; stop it or choose another address with \(option)")
        case .notPermitted:
            Failure(
                .permission,
                address.hasPrefix("unix:")
                    ? "\(address): not permitted; choose a socket in a folder of yours with \(option)"
                    : "\(address): not permitted; ports below 1024 need a privilege, choose another with \(option)")
        default:
            if address.hasPrefix("systemd:") {
                Failure(
                    .unavailable,
                    error.name == "EBADF"
                        ? "\(address): systemd has given this process no socket of that name; give it with "
                            + "FileDescriptorName= in a socket unit, or choose another address with \(option)"
                        : "\(address): the socket from systemd is not a listening TCP or unix socket (\(error)); give it "
                            + "with ListenStream= in a socket unit, or choose another address with \(option)")
            } else if error.name == "EADDRNOTAVAIL" {
                Failure(
                    .unavailable,
                    "\(address) is not an address of this machine; "
                        + (isRelay ? behindNAT(address) : "choose another with \(option)"))
            } else {
                Failure(.unavailable, "cannot listen at \(address) (\(error)); choose another address with \(option)")
            }
        }
    }
    /// What a relay needs whose machine is reached by an `address` that it does not have.
    private static func behindNAT(_ address: String) -> String {
        guard let announced = Endpoint(address) else { return "choose another with --listen" }
        let any = announced.address.v4 != nil ? "0.0.0.0" : "[::]"
        return "if others reach it by that address, give --listen \(any):\(announced.port) --public \(announced), "
            + "else choose another with --listen"
    }
}
