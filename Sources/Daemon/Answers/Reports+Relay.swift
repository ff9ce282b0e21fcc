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
        self.problem = status.problem?.sentence
        self.node = status.nodeID.description
        self.addresses = status.addresses.map(\.description)
        self.exit = status.isExit
        self.draining = status.isDraining
        self.links = status.links
        self.paths = status.paths
        self.sessions = status.sessions
        self.streams = status.streams
        self.associations = status.associations
        self.descriptors = status.descriptors
        add(status.snapshot)
        total = .init(
            packetsIn: status.packetsIn, packetsOut: status.packetsOut, bytesIn: status.bytesIn,
            bytesOut: status.bytesOut)
        self.drops = status.drops
        self.builds = status.builds
        self.refusals = status.refusals
        add(status.requests)
        if let store = status.store { add(store) }
        add(status.watching)
        add(status.workers)
        if let daemon { add(daemon) }
    }

    /// Sets the figures of onion requests at the relay.
    private mutating func add(_ status: RelayRequestStatus) {
        self.requestsBegun = status.asked
        self.requestsAnswered = status.answered
        self.requestsFailed = status.refused
        self.requestsPending = status.pending
        self.requestsHere = status.received
        self.requestsAnsweredHere = status.answeredHere
        self.requestsBusyHere = status.busy
        self.requestsBadHere = status.bad
        self.requestsPendingHere = status.pendingHere
    }

    /// Sets the figures of the relay's part of the swarm store.
    private mutating func add(_ status: RelayStoreStatus) {
        self.storeShards = status.shards
        self.storeComplete = status.complete
        self.storeItems = status.items
        self.storeBytes = status.bytes
        self.storeQuota = status.quota
        self.storeDescriptors = status.descriptors
        self.storeReceipts = status.receipts
        self.storeRefusals = status.refusals
        self.storeComparisons = status.comparisons
        self.storeFetched = status.fetched
        self.storeBrought = status.brought
        self.storeDamaged = status.damaged
    }

    /// Sets the figures of the relay's workers, if there are several.
    private mutating func add(_ workers: [WorkerStatus]) {
        guard !workers.isEmpty else { return }
        self.workerLoad = EachWorker(workers.map { UInt64($0.load * 100 + 0.5) })
        self.workerPacketsIn = EachWorker(workers.map(\.packetsIn))
        self.workerPacketsOut = EachWorker(workers.map(\.packetsOut))
        self.workerHandedOn = EachWorker(workers.map(\.handedOn))
    }

    /// Sets the figures of the relay's tests of other nodes.
    private mutating func add(_ status: WatchingStatus) {
        let times = status.durations
        self.watched = status.watched
        self.dead = status.dead
        self.testsBegun = status.tests
        self.testsPassed = status.passed
        self.testsFailed = status.failed
        self.medianTest = times.isEmpty ? nil : times[times.count / 2].inMilliseconds
        self.longestTest = times.last?.inMilliseconds
        self.votes = status.votes
        self.verdicts = status.verdicts
        self.sinceClient = status.sinceClient.inSeconds
        if let storage = status.storage { add(storage) }
    }

    /// Sets the figures of the relay's tests of other nodes' storage.
    private mutating func add(_ status: StorageStatus) {
        self.testBoxes = status.boxes
        self.losing = status.dead
        self.retentionPassed = status.retention.passed
        self.retentionFailed = status.retention.failed
        self.retentionUnclear = status.retention.unclear
        self.acceptancePassed = status.acceptance.passed
        self.acceptanceFailed = status.acceptance.failed
        self.acceptanceUnclear = status.acceptance.unclear
    }

    /// Sets the figures of the relay's oxend daemon.
    private mutating func add(_ daemon: OxendStatus) {
        self.oxendAddress = daemon.address
        self.oxendHeight = daemon.height
        self.oxendActive = daemon.active
        self.oxendDecommissioned = daemon.decommissioned
        self.oxendSnapshotHeight = daemon.snapshotHeight
        self.oxendSilence = daemon.silence.inSeconds
        self.oxendTrouble = (daemon.trouble ?? daemon.pingTrouble)?.description
        self.oxendTakesPings = daemon.takesPings
        self.oxendStanding = daemon.own?.standing.name
        self.oxendReports = daemon.reportsTaken
    }
}
