internal import Logging
internal import Synchronization
internal import Wire

/// The thread of a daemon's calls: pings, lists and reports run independently, so that none waits for another.
final class OxendWorker {
    /// How many reports may be under way at once.
    private static let reportsAtOnce = 4

    /// The kind of a call.
    enum Kind {
        case ping, list, header, hashes
        /// A report with its number.
        case report(UInt64)

        private static let firstReport: UInt64 = 16

        /// The kind of the call with this tag.
        init(tag: UInt64) {
            self =
                switch tag {
                case Self.ping.tag: .ping
                case Self.list.tag: .list
                case Self.header.tag: .header
                case Self.hashes.tag: .hashes
                default: .report(tag &- Self.firstReport)
                }
        }

        /// The tag of the call.
        var tag: UInt64 {
            switch self {
            case .ping: 1
            case .list: 2
            case .header: 3
            case .hashes: 4
            case .report(let number): number &+ Self.firstReport
            }
        }
    }

    /// The calls that the registry is made of.
    private enum Part { case list, header, hashes }

    private let daemon: OxendDaemon
    private let connection: OxendConnection
    private var follower: ChainFollower
    private var nextPing: Instant
    private var nextList: Instant
    private var isPinging = false
    private var isListing = false
    /// The height whose header is being requested.
    private var askedHeader: UInt64?
    /// The heights whose hashes are being requested.
    private var askedHashes: [UInt64] = []
    private var reports: [UInt64: NodeID] = [:]
    private var nextReport: UInt64 = 0
    /// Why the last call of a part failed; the daemon is good if no part is here.
    private var failures: [Part: OxendError] = [:]
    private var isTroubled = false
    private var lastPingTrouble: OxendError?

    init(daemon: OxendDaemon, connection: OxendConnection) {
        self.daemon = daemon
        self.connection = connection
        follower = ChainFollower(
            network: daemon.configuration.network, epochBlocks: daemon.configuration.epochBlocks)
        nextPing = OxendDaemon.now
        nextList = nextPing
    }

    /// Runs until it is stopped.
    func run() {
        while !daemon.shared.withLock({ $0.isStopping }) {
            let now = OxendDaemon.now
            if now >= nextPing { ping(now) }
            if now >= nextList { ask(now) }
            sendReports()
            while let (tag, answer) = connection.next() { take(Kind(tag: tag), answer) }
            let next = min(isPinging ? now + .seconds(1) : nextPing, isListing ? now + .seconds(1) : nextList)
            connection.wait(Int(max(1, min((next - OxendDaemon.now).inSeconds * 1_000, 1_000))))
        }
        // The connection ends with this thread, so it must not be woken any more.
        daemon.shared.withLock { $0.waker = 0 }
    }

    /// Handles the answer to a call.
    func take(_ kind: Kind, _ answer: Result<[UInt8], OxendError>) {
        switch kind {
        case .ping: pinged(answer)
        case .list: listed(answer)
        case .header: tookHeader(answer)
        case .hashes: tookHashes(answer)
        case .report(let number): reported(number, answer)
        }
    }

    // MARK: Pings

    private func ping(_ now: Instant) {
        guard !isPinging else { return }
        nextPing = now + daemon.configuration.pingInterval
        let patience = daemon.configuration.problemPatience
        let problem = daemon.shared.withLock { shared -> String? in
            guard let problem = shared.problem, now - problem.since >= patience else { return nil }
            return problem.text
        }
        let parameters = PingParameters(
            key: hexadecimal(daemon.configuration.node.key.array), version: daemon.configuration.version,
            error: problem)
        isPinging = connection.begin(
            OxendCall(method: "lokinet_ping", params: parameters).bytes, tag: Kind.ping.tag,
            timeout: daemon.configuration.timeout.other)
    }

    private func pinged(_ answer: Result<[UInt8], OxendError>) {
        isPinging = false
        var trouble: OxendError?
        do throws(OxendError) {
            _ = try oxendResult(PlainResult.self, in: try answer.get())
        } catch {
            trouble = error
        }
        daemon.shared.withLock { shared in
            // No answer at all may mean that the daemon restarts; the lists show that too.
            if case .noAnswer = trouble { return }
            shared.status.takesPings = trouble == nil
            shared.status.pingTrouble = trouble
        }
        if trouble != lastPingTrouble {
            lastPingTrouble = trouble
            if let trouble {
                daemon.log.warning("a ping failed: \(trouble)")
            } else {
                daemon.log.notice("the oxend daemon accepts pings")
            }
        }
    }

    // MARK: Lists

    private func ask(_ now: Instant) {
        guard !isListing else { return }
        nextList = now + daemon.configuration.pollInterval
        let call = OxendCall(
            method: "get_service_nodes", params: NodeListParameters(pollBlockHash: follower.pollHash))
        isListing = connection.begin(call.bytes, tag: Kind.list.tag, timeout: daemon.configuration.timeout.list)
    }

    private func listed(_ answer: Result<[UInt8], OxendError>) {
        isListing = false
        do throws(OxendError) {
            let result = try oxendResult(NodeListResult.self, in: try answer.get())
            if result.unchanged == true {
                guard follower.newest != nil else { throw .malformed("unchanged, before any list") }
            } else {
                try follower.take(try OxendList(result))
            }
            noteList()
            // What is not needed any more is not requested again.
            if follower.wantedHeader == nil { failures[.header] = nil }
            if follower.wantedHashes.isEmpty { failures[.hashes] = nil }
            good(.list)
            askForHeaders()
        } catch {
            bad(.list, error)
        }
    }

    /// Requests the header of a list that can become a snapshot, and the hashes of blocks that place nodes.
    private func askForHeaders() {
        let timeout = daemon.configuration.timeout.other
        if askedHeader == nil, let height = follower.wantedHeader {
            let call = OxendCall(method: "get_block_header_by_height", params: HeaderParameters(height: height))
            if connection.begin(call.bytes, tag: Kind.header.tag, timeout: timeout) { askedHeader = height }
        }
        let heights = follower.wantedHashes
        if !heights.isEmpty, askedHashes.isEmpty {
            let call = OxendCall(method: "get_block_header_by_height", params: HeadersParameters(heights: heights))
            if connection.begin(call.bytes, tag: Kind.hashes.tag, timeout: timeout) { askedHashes = heights }
        }
    }

    private func tookHashes(_ answer: Result<[UInt8], OxendError>) {
        let asked = Set(askedHashes)
        askedHashes = []
        do throws(OxendError) {
            let headers = try oxendResult(HeadersResult.self, in: try answer.get()).headers
            try follower.takeHashes(headers.map { ($0.height, $0.hash) })
            // After an answer with gaps, the rest is requested after the next list.
            guard asked.isDisjoint(with: follower.wantedHashes) else { throw .malformed("headers are missing") }
            good(.hashes)
            askForHeaders()
        } catch {
            bad(.hashes, error)
        }
    }

    private func tookHeader(_ answer: Result<[UInt8], OxendError>) {
        let asked = askedHeader
        askedHeader = nil
        do throws(OxendError) {
            let header = try oxendResult(HeaderResult.self, in: try answer.get()).header
            guard header.height == asked else { throw .malformed("the header of another block") }
            try follower.takeHeader(
                height: header.height, hash: header.hash, time: UnixTime(seconds: header.timestamp))
            daemon.shared.withLock { shared in
                shared.snapshot = follower.snapshot
                shared.status.snapshotHeight = follower.snapshot?.height ?? 0
            }
            good(.header)
        } catch {
            bad(.header, error)
        }
    }

    /// Shows the newest list in the status.
    private func noteList() {
        guard let list = follower.newest else { return }
        daemon.shared.withLock { shared in
            guard list.height != shared.status.height || shared.serviceKeys.isEmpty else { return }
            shared.status.height = list.height
            shared.status.active = list.count(.active)
            shared.status.decommissioned = list.count(.decommissioned)
            shared.status.open = list.count(.open)
            shared.status.own = list.nodes.first { $0.node == daemon.configuration.node }
            shared.serviceKeys = Dictionary(list.nodes.map { ($0.node, $0.serviceKey) }) { first, _ in first }
        }
    }

    /// Handles an accepted answer: the daemon is good unless a call for another part has failed since its last success.
    private func good(_ part: Part) {
        failures[part] = nil
        let other = failures.first?.value
        daemon.shared.withLock { shared in
            shared.status.trouble = other
            if other == nil { shared.lastGood = OxendDaemon.now }
        }
        guard isTroubled, other == nil else { return }
        isTroubled = false
        daemon.log.notice("the oxend daemon answers again")
    }

    /// Handles a failed or refused answer: the last good state remains.
    private func bad(_ part: Part, _ error: OxendError) {
        daemon.shared.withLock { $0.status.trouble = error }
        isTroubled = true
        guard failures.updateValue(error, forKey: part) != error else { return }
        daemon.log.warning("the registry is unchanged: \(error)")
    }

    // MARK: Reports

    private func sendReports() {
        guard reports.count < Self.reportsAtOnce else { return }
        let room = Self.reportsAtOnce - reports.count
        let waiting = daemon.shared.withLock { shared -> [(NodeID, Bool, String)] in
            guard !shared.reports.isEmpty, !shared.serviceKeys.isEmpty else { return [] }
            let taken = shared.reports.prefix(room).compactMap { node, passed in
                shared.serviceKeys[node].map { (node, passed, $0) }
            }
            for (node, _) in shared.reports.prefix(room) { shared.reports[node] = nil }
            return taken
        }
        for (node, passed, key) in waiting {
            let call = OxendCall(method: "report_peer_status", params: ReportParameters(pubkey: key, passed: passed))
            nextReport += 1
            let timeout = daemon.configuration.timeout.other
            let tag = Kind.report(nextReport).tag
            if connection.begin(call.bytes, tag: tag, timeout: timeout) { reports[nextReport] = node }
        }
    }

    private func reported(_ number: UInt64, _ answer: Result<[UInt8], OxendError>) {
        reports[number] = nil
        let isTaken: Bool
        do throws(OxendError) {
            _ = try oxendResult(PlainResult.self, in: try answer.get())
            isTaken = true
        } catch {
            isTaken = false
        }
        daemon.shared.withLock { shared in
            if isTaken { shared.status.reportsTaken += 1 } else { shared.status.reportsRefused += 1 }
        }
    }
}
