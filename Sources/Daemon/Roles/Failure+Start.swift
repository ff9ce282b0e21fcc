internal import EventLoop
internal import Process
internal import Relay
internal import Store

extension Failure {
    /// The failure of a role's start; most often its address is the cause.
    static func starting(_ error: any Error, option: String) -> Failure {
        if let failure = error as? Failure { return failure }
        if let error = error as? StoreError { return of(error) }
        if let error = error as? UVError {
            guard let address = error.address else {
                return Failure(.system, "cannot open a file or socket (\(error))")
            }
            return listening(error, at: address, option: option, isRelay: option == "--listen")
        }
        if error as? RelayError == .noAddress {
            return Failure(.configuration, "\(error); name the public address with --public")
        }
        return Failure(.configuration, "\(error)")
    }
}
