internal import Control
internal import Oxen
internal import Wire

extension OxendReport {
    /// The report of `status` for the control socket.
    init(_ status: OxendStatus) {
        self.init(
            address: status.address, height: status.height, active: status.active,
            decommissioned: status.decommissioned, snapshotHeight: status.snapshotHeight,
            silence: status.silence.inSeconds, trouble: status.trouble ?? status.pingTrouble,
            takesPings: status.takesPings, standing: status.own.map { "\($0.standing)" }, reports: status.reportsTaken)
    }
}
