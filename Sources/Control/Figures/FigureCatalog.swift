/// All figures that a process reports about itself, each once: JSON, OpenMetrics, `tunic status`, `tunic top` and the
/// status page use them.
///
/// A report's member of the same name reads and sets a figure's value: `report.links`. Metrics and rows have the order
/// of the members. The type has as many members as there are figures.
package struct FigureCatalog: Sendable {
    // MARK: Of a client and a relay

    package let ready = Figure<Bool>("ready", .gauge("tunic_ready"), "Whether it serves.", .truth, row: nil)
    package let draining = Figure<Bool>(
        "draining", .gauge("tunic_draining"), "Whether a relay waits for its paths to end.", .truth, row: nil,
        of: [.relay])
    package let exit = Figure<Bool>(
        "exit", .gauge("tunic_exit"), "Whether a relay is an exit.", .truth, row: nil, of: [.relay])
    package let uptime = Figure<Double>("uptime_s", nil, "How long it has run.", .duration, row: nil)

    // MARK: The registry

    package let registryState = Figure<RegistryStanding>(
        "registry.state", .ofOne(.gauge("tunic_registry_state")),
        "How the relay stands in the registry: 1 for its state.", .text, row: "registry", of: [.relay])
    package let leavesAt = Figure<UInt64>(
        "registry.leaves_at", .ofOne(.gauge("tunic_leaves_at_seconds"), absent: 0),
        "When the relay leaves, since 1970; 0: never.", .date, row: "registry", "leaves at #", of: [.relay])
    package let maintenanceUntil = Figure<UInt64>(
        "registry.maintenance_until", .ofOne(.gauge("tunic_maintenance_until_seconds"), absent: 0),
        "When the maintenance of the relay is over, since 1970; 0: it is in none.", .date, row: "registry", "until #",
        of: [.relay])
    package let deregistersAt = Figure<UInt64>(
        "registry.deregisters_at", .ofOne(.gauge("tunic_deregisters_at_seconds"), absent: 0),
        "When the relay is deregistered unless it serves again, since 1970; 0: never.", .date, row: "registry",
        "deregistered and locked at #", of: [.relay])
    package let lockedUntil = Figure<UInt64>(
        "registry.locked_until", .ofOne(.gauge("tunic_locked_until_seconds"), absent: 0),
        "Until when the stake is locked, since 1970; 0: it is not.", .date, row: "registry", "stake locked until #",
        of: [.relay])
    package let blockHeight = Figure<UInt64>(
        "registry.height", .ofOne(.gauge("tunic_block_height")), "The height of the newest block.", .count,
        row: "registry", "as of block #", of: [.relay])
    package let blockTime = Figure<UInt64>(
        "registry.time", .ofOne(.gauge("tunic_block_time_seconds")), "When the newest block was made, since 1970.",
        .date,
        row: "registry", " of #", of: [.relay])
    package let stake = Figure<UInt64>(
        "registry.stake", .ofOne(.gauge("tunic_stake_sesh")), "The stake of the relay in SESH.", .sesh, row: "stake",
        "# SESH", hidesZero: true, of: [.relay])
    package let fee = Figure<Int>(
        "registry.fee", .ofOne(.gauge("tunic_operator_fee_ratio")), "The operator's part of each reward.", .fee,
        row: "stake", "fee #", hidesZero: true, of: [.relay])
    package let rewards = Figure<UInt64>(
        "registry.rewards", .ofOne(.gauge("tunic_rewards_sesh")),
        "Unclaimed rewards of the operator's account in SESH.",
        .sesh, row: "stake", "rewards # SESH", hidesZero: true, of: [.relay])
    package let credit = Figure<UInt64>(
        "registry.credit", .ofOne(.gauge("tunic_credit_seconds")), "For how long the relay may be away.", .hours,
        row: "credit", "# (hours, minutes, seconds)", of: [.relay])
    package let clockRefusals = Figure<UInt64>(
        "registry.clock_refusals", .ofOne(.counter("tunic_clock_refusals")),
        "Requests among authorities that were refused since clocks differ.", .count, row: "registry",
        "# refusals as clocks differ", hidesZero: true, of: [.relay])

    // MARK: Tests of other nodes

    package let watched = Figure<Int>(
        "watching.watched", .gauge("tunic_watched_nodes"), "Nodes that a relay tests.", .count, row: "nodes watched",
        of: [.relay])
    package let dead = Figure<Int>(
        "watching.dead", .gauge("tunic_dead_nodes"), "Nodes that fail a relay's tests.", .count, row: "nodes watched",
        "# of them dead", hidesZero: true, of: [.relay])
    package let testsPassed = Figure<UInt64>(
        "watching.passed", .counter("tunic_node_tests", "result", "passed"), "Tests of other nodes by a relay.", .count,
        row: "nodes watched", "; #", of: [.relay])
    package let testsBegun = Figure<UInt64>(
        "watching.tests", .counter("tunic_begun_node_tests"), "Tests of other nodes that a relay began.", .count,
        row: "nodes watched", " of # tests passed", of: [.relay])
    package let testsFailed = Figure<UInt64>(
        "watching.failed", .counter("tunic_node_tests", "result", "failed"), "Tests of other nodes by a relay.", .count,
        row: "nodes watched", "# failed", hidesZero: true, of: [.relay])
    package let testBoxes = Figure<Int>(
        "storage_tests.boxes", .gauge("tunic_test_boxes"),
        "Nodes that hold an item by which a relay tests their storage.",
        .count, row: "storage tests", "# nodes hold an item", of: [.relay])
    package let losing = Figure<Int>(
        "storage_tests.dead", .gauge("tunic_losing_nodes"), "Nodes that fail a relay's tests of their storage.", .count,
        row: "storage tests", "# LOSE ITEMS", hidesZero: true, of: [.relay])
    package let retentionPassed = Figure<UInt64>(
        "storage_tests.retention_passed", .counter("tunic_storage_tests", "test", "retention").and("result", "passed"),
        "Tests of other nodes' storage by a relay.", .count, row: "storage tests", "# items shown", of: [.relay])
    package let retentionFailed = Figure<UInt64>(
        "storage_tests.retention_failed", .counter("tunic_storage_tests", "test", "retention").and("result", "failed"),
        "Tests of other nodes' storage by a relay.", .count, row: "storage tests", "# NOT SHOWN", hidesZero: true,
        of: [.relay])
    package let retentionUnclear = Figure<UInt64>(
        "storage_tests.retention_unclear",
        .counter("tunic_storage_tests", "test", "retention").and("result", "unclear"),
        "Tests of other nodes' storage by a relay.", .count, row: "storage tests", "# unclear", hidesZero: true,
        of: [.relay])
    package let acceptancePassed = Figure<UInt64>(
        "storage_tests.acceptance_passed",
        .counter("tunic_storage_tests", "test", "acceptance").and("result", "passed"),
        "Tests of other nodes' storage by a relay.", .count, row: "storage tests", "# items taken", of: [.relay])
    package let acceptanceFailed = Figure<UInt64>(
        "storage_tests.acceptance_failed",
        .counter("tunic_storage_tests", "test", "acceptance").and("result", "failed"),
        "Tests of other nodes' storage by a relay.", .count, row: "storage tests", "# NOT TAKEN", hidesZero: true,
        of: [.relay])
    package let acceptanceUnclear = Figure<UInt64>(
        "storage_tests.acceptance_unclear",
        .counter("tunic_storage_tests", "test", "acceptance").and("result", "unclear"),
        "Tests of other nodes' storage by a relay.", .count, row: "storage tests", "# unclear", hidesZero: true,
        of: [.relay])
    package let medianTest = Figure<Double>(
        "watching.median_ms", .gauge("tunic_node_test_time_seconds", "quantile", "0.5"),
        "Times of a relay's last hundred passed tests.", .milliseconds, row: "test time", "median #", of: [.relay])
    package let longestTest = Figure<Double>(
        "watching.longest_ms", .gauge("tunic_node_test_time_seconds", "quantile", "1"),
        "Times of a relay's last hundred passed tests.", .milliseconds, row: "test time", "longest #", of: [.relay])
    package let votes = Figure<UInt64>(
        "watching.votes", .counter("tunic_votes"), "Votes that a relay has cast on other nodes.", .count, row: "votes",
        of: [.relay])
    package let verdicts = Figure<UInt64>(
        "watching.verdicts", .counter("tunic_verdicts"), "Verdicts on other nodes that a relay has handed in.", .count,
        row: "votes", "# verdicts", of: [.relay])
    package let sinceClient = Figure<Double>(
        "watching.since_client_s", .gauge("tunic_since_client_seconds"),
        "Time since a client or a test came to a relay.",
        .duration, row: "client or test", "# ago", of: [.relay])

    // MARK: The oxend daemon

    package let oxendAddress = Figure<String>(
        "oxend.address", nil, "The address of the oxend daemon.", .text, row: "oxend", of: [.relay])
    package let oxendHeight = Figure<UInt64>(
        "oxend.height", .gauge("tunic_oxend_height"), "The height of the oxend daemon's chain; 0: no list yet.", .count,
        row: "oxend", "height #", of: [.relay])
    package let oxendActive = Figure<Int>(
        "oxend.active", .gauge("tunic_oxend_nodes", "state", "active"), "Nodes that the oxend daemon lists.", .count,
        row: "oxend", "# active", of: [.relay])
    package let oxendDecommissioned = Figure<Int>(
        "oxend.decommissioned", .gauge("tunic_oxend_nodes", "state", "decommissioned"),
        "Nodes that the oxend daemon lists.", .count, row: "oxend", " and # decommissioned nodes", of: [.relay])
    package let oxendSnapshotHeight = Figure<UInt64>(
        "oxend.snapshot_height", .gauge("tunic_oxend_snapshot_height"),
        "The height of the newest snapshot made from the daemon's lists; 0: none yet.", .count, row: "oxend",
        "snapshot of height #", of: [.relay])
    package let oxendStanding = Figure<String>(
        "oxend.standing", nil, "How the daemon lists this node.", .text, row: "oxend node", absent: "not listed",
        of: [.relay])
    package let oxendTakesPings = Figure<Bool>(
        "oxend.takes_pings", .gauge("tunic_oxend_takes_pings"), "Whether the daemon takes this node's pings.", .truth,
        row: "oxend node", "takes pings: #", of: [.relay])
    package let oxendReports = Figure<UInt64>(
        "oxend.reports", .counter("tunic_oxend_reports"), "Test results that the daemon took.", .count,
        row: "oxend node", "# test results taken", of: [.relay])
    package let oxendSilence = Figure<Double>(
        "oxend.silence_s", .gauge("tunic_oxend_silence_seconds"), "Time without a good answer of the daemon.",
        .duration,
        row: "oxend answered", "# ago", of: [.relay])
    package let oxendTrouble = Figure<String>(
        "oxend.trouble", nil, "What was wrong with the daemon's last answer.", .text, row: "oxend trouble", of: [.relay]
    )

    // MARK: The network

    package let links = Figure<Int>(
        "links", .gauge("tunic_links"), "Links that are up.", .count, row: "links", top: "links #")
    package let paths = Figure<Int>(
        "paths", .gauge("tunic_paths"), "Paths of a client that are ready, or those that a relay carries.", .count,
        row: "paths", top: "paths #")
    package let sessions = Figure<Int>(
        "sessions", .gauge("tunic_sessions"), "Sessions.", .count, row: "sessions", top: "sessions #")
    package let streams = Figure<Int>(
        "streams", .gauge("tunic_streams"), "Open streams.", .count, row: "streams", top: "streams #")
    package let associations = Figure<Int>(
        "associations", .gauge("tunic_associations"), "Open UDP associations, which are streams too.", .count,
        row: "streams", "# for UDP", hidesZero: true)
    package let descriptors = Figure<Int>(
        "descriptors", .gauge("tunic_descriptors"), "Nodes whose descriptor is known.", .count, row: "nodes known",
        top: "nodes #")
    package let snapshotHeight = Figure<UInt64>(
        "snapshot.height", .gauge("tunic_snapshot_height"), "The height of the trusted snapshot.", .count,
        row: "snapshot", "height #")
    package let snapshotDigest = Figure<String>(
        "snapshot.digest", nil, "The first 16 hexadecimal digits of the trusted snapshot's digest.", .text,
        row: "snapshot")
    package let snapshotTime = Figure<UInt64>(
        "snapshot.time", .gauge("tunic_snapshot_time_seconds"), "When the trusted snapshot was made, since 1970.",
        .date,
        row: "snapshot", "of #")
    package let snapshotNodes = Figure<Int>(
        "snapshot.nodes", .gauge("tunic_snapshot_nodes"), "Nodes that are staked in the trusted snapshot.", .count,
        row: "snapshot", "# nodes")
    package let witnesses = Figure<Int>(
        "snapshot.witnesses", .gauge("tunic_snapshot_witnesses"),
        "Nodes that a client asked and that have its snapshot.",
        .count, row: "snapshot", "the same at # asked", hidesZero: true, of: [.client])
    package let list = Figure<UInt64>(
        "snapshot.list", .gauge("tunic_list_round"), "The round of the list of descriptors in use.", .count,
        row: "snapshot", "descriptors of list #", absent: "no list of descriptors yet")
    package let contradicted = Figure<Bool>(
        "snapshot.contradicted", .gauge("tunic_snapshot_contradicted"),
        "Whether two operators' nodes have told a client of another snapshot of the same height.", .truth,
        row: "snapshot", "ANOTHER ONE at nodes asked", hidesZero: true, of: [.client])

    // MARK: Packets

    package let packetsIn = Figure<UInt64>(
        "total.packets_in", .counter("tunic_packets", "direction", "received"), "Packets.", .count, row: "received",
        "# packets")
    package let bytesIn = Figure<UInt64>(
        "total.bytes_in", .counter("tunic_network_bytes", "direction", "received"), "Bytes of whole datagrams.", .bytes,
        row: "received")
    package let bytesInRate = Figure<UInt64>(
        "rate.bytes_in", nil, "Bytes received per second, over the last ten seconds.", .bytes, row: "received", "#/s",
        top: "in #/s")
    package let packetsInRate = Figure<UInt64>(
        "rate.packets_in", nil, "Packets received per second, over the last ten seconds.", .count, row: "received",
        "# packets/s")
    package let packetsOut = Figure<UInt64>(
        "total.packets_out", .counter("tunic_packets", "direction", "sent"), "Packets.", .count, row: "sent",
        "# packets")
    package let bytesOut = Figure<UInt64>(
        "total.bytes_out", .counter("tunic_network_bytes", "direction", "sent"), "Bytes of whole datagrams.", .bytes,
        row: "sent")
    package let bytesOutRate = Figure<UInt64>(
        "rate.bytes_out", nil, "Bytes sent per second, over the last ten seconds.", .bytes, row: "sent", "#/s",
        top: "out #/s")
    package let packetsOutRate = Figure<UInt64>(
        "rate.packets_out", nil, "Packets sent per second, over the last ten seconds.", .count, row: "sent",
        "# packets/s")
    package let drops = Figure<[String: UInt64]>(
        "drops", .counter("tunic_dropped_packets"), "Packets that were dropped.", .reasons, row: "dropped")
    package let workerLoad = Figure<EachWorker>(
        "workers.load", .gauge("tunic_worker_load_ratio"),
        "The share of a core that each worker of a relay used in the last second.", .shares, row: "workers",
        "# of a core", of: [.relay])
    package let workerPacketsIn = Figure<EachWorker>(
        "workers.packets_in", .counter("tunic_worker_packets", "direction", "received"),
        "Packets of each worker of a relay.", .each, row: "workers", "received #", of: [.relay])
    package let workerPacketsOut = Figure<EachWorker>(
        "workers.packets_out", .counter("tunic_worker_packets", "direction", "sent"),
        "Packets of each worker of a relay.", .each, row: "workers", "sent #", of: [.relay])
    package let workerHandedOn = Figure<EachWorker>(
        "workers.handed_on", .counter("tunic_worker_handed_packets"),
        "Packets that came to a worker of a relay and that it handed to another one.", .each, row: "workers",
        "handed on #", hidesZero: true, of: [.relay])
    package let builds = Figure<UInt64>(
        "builds", .counter("tunic_path_builds", "result", "built"),
        "Paths that were built, by this client or with this relay as a hop.", .count, row: "paths built")
    package let failedBuilds = Figure<UInt64>(
        "failed_builds", .counter("tunic_path_builds", "result", "failed"),
        "Paths that were built, by this client or with this relay as a hop.", .count, row: "paths built", "# failed",
        of: [.client])
    package let refusals = Figure<[String: UInt64]>(
        "refusals", .counter("tunic_refused_builds"), "Builds that a relay refused.", .reasons, row: "refused",
        of: [.relay])
    package let buildTimes = Figure<[Double]>(
        "build_times_ms", .gauge("tunic_path_build_time_seconds"), "Times of a client's last hundred builds.", .times,
        row: "build time", of: [.client])
    package let requestsBegun = Figure<UInt64>(
        "requests.begun", .counter("tunic_begun_requests"),
        "Onion requests of a client, or those that sessions brought to a relay as their proxy.", .count,
        row: "requests", hidesZero: true)
    package let requestsAnswered = Figure<UInt64>(
        "requests.answered", .counter("tunic_requests", "result", "answered"), "Onion requests that have ended.",
        .count, row: "requests", "# answered", hidesZero: true)
    package let requestsFailed = Figure<UInt64>(
        "requests.failed", .counter("tunic_requests", "result", "failed"), "Onion requests that have ended.", .count,
        row: "requests", "# failed", hidesZero: true)
    package let requestsPending = Figure<Int>(
        "requests.pending", .gauge("tunic_pending_requests"), "Onion requests that wait for an answer.", .count,
        row: "requests", "# pending", hidesZero: true)
    package let requestsHere = Figure<UInt64>(
        "requests.received", .counter("tunic_received_requests"), "Onion requests that other nodes brought to a relay.",
        .count, row: "requests here", hidesZero: true, of: [.relay])
    package let requestsAnsweredHere = Figure<UInt64>(
        "requests.answered_here", .counter("tunic_opened_requests", "result", "answered"),
        "Onion requests of other nodes that a relay has dealt with.", .count, row: "requests here", "# answered",
        hidesZero: true, of: [.relay])
    package let requestsBusyHere = Figure<UInt64>(
        "requests.busy_here", .counter("tunic_opened_requests", "result", "busy"),
        "Onion requests of other nodes that a relay has dealt with.", .count, row: "requests here", "# while busy",
        hidesZero: true, of: [.relay])
    package let requestsBadHere = Figure<UInt64>(
        "requests.bad_here", .counter("tunic_opened_requests", "result", "bad"),
        "Onion requests of other nodes that a relay has dealt with.", .count, row: "requests here",
        "# unreadable or repeated", hidesZero: true, of: [.relay])
    package let requestsPendingHere = Figure<Int>(
        "requests.pending_here", .gauge("tunic_unanswered_requests"),
        "Onion requests of other nodes that a relay has not answered.", .count, row: "requests here", "# pending",
        hidesZero: true, of: [.relay])
    package let storeShards = Figure<Int>(
        "store.shards", .gauge("tunic_store_shards"), "Shards of the swarm store that a relay holds.", .count,
        row: "swarm store", "# shards", of: [.relay])
    package let storeComplete = Figure<Int>(
        "store.complete", .gauge("tunic_store_complete_shards"), "Shards of a relay that lack nothing.", .count,
        row: "swarm store", "# complete", of: [.relay])
    package let storeItems = Figure<Int>(
        "store.items", .gauge("tunic_store_items"), "Items and tombstones that a relay holds.", .count,
        row: "swarm store", "# items", of: [.relay])
    package let storeBytes = Figure<Int>(
        "store.bytes", .gauge("tunic_store_bytes"), "Bytes of these.", .bytes, row: "swarm store", of: [.relay])
    package let storeQuota = Figure<UInt64>(
        "store.quota", .gauge("tunic_store_quota_bytes"), "Bytes of items that a relay offers.", .bytes,
        row: "swarm store", " of #", of: [.relay])
    package let storeDescriptors = Figure<Int>(
        "store.descriptors", .gauge("tunic_store_descriptors"), "Service descriptors that a relay holds.", .count,
        row: "swarm store", "# service descriptors", of: [.relay])
    package let storeReceipts = Figure<UInt64>(
        "store.receipts", .counter("tunic_store_receipts"), "Receipts that a relay has signed.", .count,
        row: "stored here", of: [.relay])
    package let storeRefusals = Figure<UInt64>(
        "store.refusals", .counter("tunic_store_refusals"), "Requests and copies that its store refused.", .count,
        row: "stored here", "# refused", hidesZero: true, of: [.relay])
    package let storeComparisons = Figure<UInt64>(
        "store.comparisons", .counter("tunic_store_comparisons"), "Comparisons with other replicas that a relay began.",
        .count, row: "compared", of: [.relay])
    package let storeFetched = Figure<UInt64>(
        "store.fetched", .counter("tunic_store_repaired_items", "direction", "fetched"),
        "Copies that comparisons brought.", .count, row: "compared", "# fetched", of: [.relay])
    package let storeBrought = Figure<UInt64>(
        "store.brought", .counter("tunic_store_repaired_items", "direction", "brought"),
        "Copies that comparisons brought.", .count, row: "compared", "# brought to others", of: [.relay])
    package let storeDamaged = Figure<UInt64>(
        "store.damaged", .counter("tunic_store_damaged_items"), "Items whose bytes on the disk had changed.", .count,
        row: "compared", "# FOUND DAMAGED", hidesZero: true, of: [.relay])
    package let monthBytes = Figure<UInt64>(
        "accounting.bytes", .gauge("tunic_month_bytes"), "Bytes of this month, sent and received.", .bytes,
        row: "this month", of: [.relay])
    package let monthLimit = Figure<UInt64>(
        "accounting.limit", .gauge("tunic_month_limit_bytes"), "Bytes that a month may have.", .bytes,
        row: "this month", " of #", of: [.relay])
    package let monthStart = Figure<UInt64>(
        "accounting.since", .gauge("tunic_month_start_seconds"), "When the month of the bytes began, since 1970.",
        .date,
        row: "this month", "since #", of: [.relay])

    // MARK: The process, by the names that Prometheus' clients have for it; in the first report alone

    package let cpuPercent = Figure<Double>(
        "process.cpu_percent", nil, "The share of one processor over the last ten seconds.", .percent, row: "CPU")
    package let cpuSeconds = Figure<Double>(
        "process.cpu_seconds", .ofOne(.counter("process_cpu_seconds")), "Processor time of user and system.", .seconds,
        row: "CPU", "# in all")
    package let residentBytes = Figure<UInt64>(
        "process.resident_bytes", .ofOne(.gauge("process_resident_memory_bytes")), "Memory that is in use.", .bytes,
        row: "memory")
    package let virtualBytes = Figure<UInt64>(
        "process.virtual_bytes", .ofOne(.gauge("process_virtual_memory_bytes")), "Memory that is addressed.", .bytes,
        row: "memory", "# addressed")
    package let openFiles = Figure<Int>(
        "process.descriptors", .ofOne(.gauge("process_open_fds")), "Open descriptors.", .count, row: "open files")
    package let openFilesLimit = Figure<Int>(
        "process.descriptor_limit", .ofOne(.gauge("process_max_fds")), "How many descriptors may be open.", .count,
        row: "open files", " of #")
    package let processStart = Figure<UInt64>(
        "process.start_time", .ofOne(.gauge("process_start_time_seconds")), "When the process started, since 1970.",
        .date, row: "started")

    private init() {}
}

extension FigureCatalog {
    package static let figures = FigureCatalog()

    /// All figures, in the order of the catalogue.
    package static let all: [FigureEntry] = Mirror(reflecting: figures).children.map { child in
        guard let figure = child.value as? any AnyFigure else {
            preconditionFailure("the catalogue holds figures alone")
        }
        return figure.entry
    }

    /// All figures by the object that contains them in the JSON, in the order of each object's first figure.
    static let objects: [(name: String?, figures: [FigureEntry])] = {
        var objects: [(name: String?, figures: [FigureEntry])] = []
        for entry in all {
            if let place = objects.firstIndex(where: { $0.name == entry.path.object }) {
                objects[place].figures.append(entry)
            } else {
                objects.append((entry.path.object, [entry]))
            }
        }
        return objects
    }()
}

/// A figure of any type.
private protocol AnyFigure {
    var entry: FigureEntry { get }
}

extension Figure: AnyFigure {}
