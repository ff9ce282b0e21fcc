package import Control

extension StatusReport {
    /// Whether all roles of the process are ready.
    package var isAllReady: Bool { ready && (self.others ?? []).allSatisfy(\.ready) }
}
