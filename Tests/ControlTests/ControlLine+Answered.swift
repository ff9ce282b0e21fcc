import Testing

@testable import Control

extension ControlLine {
    /// The immediate answer to a request; records an issue if the answer comes later.
    static func answered(
        to line: [UInt8], from provider: (ControlCommand, String?) -> ControlReply, _ rights: ControlRights = .all,
        _ group: ControlGroup? = nil
    ) -> [UInt8] {
        switch answer(to: line, from: provider, rights, group) {
        case .line(let bytes): return bytes
        case .later:
            Issue.record("the provider answers later")
            return []
        }
    }
}
