import Testing

@testable import Control

extension ControlLine {
    /// The line that answers a request at once; empty where the answer comes later.
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
