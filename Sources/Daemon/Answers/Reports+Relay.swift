internal import BuildInfo
internal import Control
internal import Directory
internal import Oxen
internal import Relay
internal import Wire

extension StatusReport {
    /// The report of a relay.
    init(_ status: RelayStatus, _ daemon: OxendStatus?) {
        self.init(role: .relay, version: versionAndCommit)
        ready = status.isReady
        problem = status.problem
        oxend = daemon.map(OxendReport.init)
        node = status.nodeID.description
        addresses = status.addresses.map(\.description)
        exit = status.isExit
        draining = status.isDraining
        links = status.links
        paths = status.paths
        sessions = status.sessions
        streams = status.streams
        associations = status.associations
        descriptors = status.descriptors
        snapshot = SnapshotReport(
            height: status.snapshot.height, digest: status.snapshot.digest, time: status.snapshot.time.seconds,
            nodes: status.snapshot.nodes, list: status.snapshot.list)
        total = .init(
            packetsIn: status.packetsIn, packetsOut: status.packetsOut, bytesIn: status.bytesIn,
            bytesOut: status.bytesOut)
        drops = status.drops
        builds = status.builds
        refusals = status.refusals
        watching = WatchingReport(status.watching)
    }
}
