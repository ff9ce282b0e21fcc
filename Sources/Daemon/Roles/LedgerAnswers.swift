internal import Control
internal import Directory
internal import Process
internal import Registry
internal import Relay
internal import Wire

/// The answers of a node with a ledger on its control socket.
final class LedgerAnswers {
    /// How many finished operations are remembered.
    private static let limit = 256

    private let ledger: LedgerService
    /// The results of this node's tests of others.
    private let tests: () -> [NodeTest]
    /// The node's request for a maintenance of this many seconds; 0 ends it.
    private let maintenance: (UInt32) -> RegistryOperation?
    private var reports: [String: OperationReport] = [:]
    /// The operations in `reports`, oldest first.
    private var order: [String] = []

    init(
        _ ledger: LedgerService, tests: @escaping () -> [NodeTest],
        maintenance: @escaping (UInt32) -> RegistryOperation?
    ) {
        self.ledger = ledger
        self.tests = tests
        self.maintenance = maintenance
    }

    /// The answer to a command about the ledger; nil for others.
    func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply? {
        switch command {
        case .nodes: return nodes(argument)
        case .account: return account(argument)
        case .submit: return submit(argument)
        case .dryrun: return dryRun(argument)
        case .maintenance: return maintain(argument)
        case .operation:
            guard let report = argument.flatMap({ reports[$0] }) else {
                return .refusal("no such operation was submitted here")
            }
            return .report(report)
        case .status, .metrics, .log, .web, .reload, .check, .request, .box, .paths, .newpath, .exits, .streams:
            return nil
        }
    }

    private func nodes(_ argument: String?) -> ControlReply {
        let state = ledger.state
        var list: [(NodeID, RegisteredNode)] = []
        if let argument {
            let ids = NodeID(argument).map { [$0] } ?? state.nodes.keys.filter { $0.hasShortForm(argument) }
            guard ids.count < 2 else { return .refusal("several nodes begin with '\(argument)'; write more of the id") }
            guard let id = ids.first else { return .refusal(Self.unknown(argument)) }
            if let node = state.nodes[id] {
                list = [(id, node)]
            } else {
                let locks = state.locks.filter { $0.node == id }
                guard !locks.isEmpty else { return .refusal(Self.unknown(argument)) }
                return deregistered(id, locks)
            }
        } else {
            list = state.nodes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        }
        let now = max(state.time, currentTime().seconds)
        let own = Dictionary(tests().map { ($0.node, $0) }) { first, _ in first }
        return .report(
            NodesReport(
                height: state.height, time: state.time, fullStake: state.parameters.fullStake, pool: state.pool,
                nodes: list.map { id, node in
                    var report = NodesReport.Node(
                        id: id.description, state: RegistryStanding(of: id, in: state).rawValue,
                        operator: hexadecimal(node.operatorAccount.key.array), stake: node.stake, fee: Int(node.fee),
                        uptime: node.standing == .active ? now - min(now, node.creditTime) : 0,
                        credit: node.credit(at: now, state.parameters))
                    report.lastTest = node.reports.map(\.time).max().map { now - min(now, $0) }
                    report.add(own[id])
                    report.capacity = node.capacity
                    report.leavesAt = node.leavesAt == 0 ? nil : node.leavesAt
                    report.maintenanceUntil = node.isInMaintenance ? node.maintenanceEnd : nil
                    report.deregistersAt =
                        node.standing == .decommissioned && !node.isInMaintenance ? node.deregistersAt : nil
                    if argument != nil {
                        report.contributions = node.contributions.map {
                            .init(account: hexadecimal($0.account.key.array), amount: $0.amount)
                        }
                    }
                    return report
                }))
    }

    private static func unknown(_ argument: String) -> String { "the registry has no node \(argument.prefix(80))" }

    /// The report of a deregistered node: its locked stake.
    private func deregistered(_ id: NodeID, _ locks: [RegistryState.StakeLock]) -> ControlReply {
        let state = ledger.state
        var report = NodesReport.Node(
            id: id.description, state: RegistryStanding.deregistered.rawValue, operator: "",
            stake: locks.map(\.amount).reduce(0, +), fee: 0, uptime: 0, credit: 0)
        report.lockedUntil = locks.last?.until
        report.grace = UInt64(state.parameters.creditGrace)
        report.contributions = locks.map { .init(account: hexadecimal($0.account.key.array), amount: $0.amount) }
        return .report(
            NodesReport(
                height: state.height, time: state.time, fullStake: state.parameters.fullStake, pool: state.pool,
                nodes: [report]))
    }

    /// Requests a maintenance of this node for the seconds in `argument`, or ends it if they are 0.
    private func maintain(_ argument: String?) -> ControlReply {
        guard let seconds = argument.flatMap({ UInt32($0) }) else {
            return .refusal("a maintenance needs a number of seconds")
        }
        guard let operation = maintenance(seconds) else {
            return .refusal(
                "this node cannot request a maintenance: it is not registered, or the ledger has no block yet")
        }
        return handIn(operation)
    }

    private func account(_ argument: String?) -> ControlReply {
        guard let argument, let key = bytes32(hexadecimal: argument) else {
            return .refusal("an account is 64 hexadecimal digits")
        }
        let state = ledger.state
        let account = Account(key)
        let holding = state.accounts[account]
        let stakes = state.nodes.sorted { $0.key < $1.key }.compactMap { id, node in
            node.contribution(of: account).map { amount in
                let standing = RegistryStanding(of: id, in: state)
                var stake = AccountReport.Stake(node: id.description, state: standing.rawValue, amount: amount)
                stake.leavesAt = node.leavesAt == 0 ? nil : node.leavesAt
                stake.deregistersAt = standing == .decommissioned ? node.deregistersAt : nil
                return stake
            }
        }
        return .report(
            AccountReport(
                account: argument, network: hexadecimal(state.network.array), height: state.height,
                balance: holding?.balance ?? 0, rewards: holding?.rewards ?? 0, nonce: holding?.nonce ?? 0,
                operationFee: state.parameters.operationFee, stakes: stakes,
                locked: state.locks.filter { $0.account == account }.map {
                    var lock = AccountReport.Locked(
                        amount: $0.amount, until: $0.until, node: $0.node.description)
                    lock.grace = UInt64(state.parameters.creditGrace)
                    return lock
                }))
    }

    private static func operation(_ argument: String?) -> RegistryOperation? {
        argument.flatMap { bytes(hexadecimal: $0) }.flatMap { try? RegistryOperation(decoding: $0.rawSpan) }
    }

    /// Tries an operation on a copy of the state.
    private func dryRun(_ argument: String?) -> ControlReply {
        guard let operation = Self.operation(argument) else { return Self.unreadable }
        var report = OperationReport(
            operation: hexadecimal(OperationPool.hash(of: operation).array), state: .waiting)
        var state = ledger.state
        do {
            try state.apply(operation)
        } catch {
            (report.state, report.rule) = (.refused, error.name)
        }
        return .report(report)
    }

    private static var unreadable: ControlReply { .refusal("expected the bytes of an operation in hexadecimal") }

    private func submit(_ argument: String?) -> ControlReply {
        guard let operation = Self.operation(argument) else { return Self.unreadable }
        return handIn(operation)
    }

    private func handIn(_ operation: RegistryOperation) -> ControlReply {
        let hash = hexadecimal(OperationPool.hash(of: operation).array)
        if let known = reports[hash], known.state == .waiting || known.state == .applied { return .report(known) }
        keep(OperationReport(operation: hash, state: .waiting))
        ledger.submit(operation) { [weak self] result in
            switch result {
            case .applied(let height): self?.keep(.init(operation: hash, state: .applied, height: height))
            case .refused(let rule): self?.keep(.init(operation: hash, state: .refused, rule: rule))
            case .timedOut: self?.keep(.init(operation: hash, state: .timedOut))
            }
        }
        return .report(reports[hash] ?? OperationReport(operation: hash, state: .waiting))
    }

    private func keep(_ report: OperationReport) {
        if reports.updateValue(report, forKey: report.operation) == nil { order.append(report.operation) }
        if order.count > Self.limit { reports[order.removeFirst()] = nil }
    }
}

extension NodesReport.Node {
    /// Adds the results of this node's own tests.
    mutating func add(_ test: NodeTest?) {
        guard let test else { return }
        func seconds(_ span: TimeSpan) -> UInt64 { UInt64(max(0, span.inSeconds)) }
        lastTest = min(lastTest ?? .max, seconds(test.sinceTest))
        lastPass = test.sincePass.map(seconds)
        marks = test.marks
        if capacity == nil { capacity = test.capacity }
        lastStorageTest = test.storage.map { seconds($0.sinceTest) }
        storageMarks = test.storage?.marks
    }
}

extension NodesReport {
    /// The nodes of a network without a ledger, from the trusted snapshot.
    init(_ snapshot: Snapshot, _ tests: [NodeTest]) {
        let own = Dictionary(tests.map { ($0.node, $0) }) { first, _ in first }
        self.init(
            height: snapshot.height, time: snapshot.time.seconds, fullStake: 0, pool: 0,
            nodes: snapshot.entries.map { entry in
                let state =
                    switch entry.state {
                    case .staked: "active"
                    case .suspended: "decommissioned"
                    default: "unknown"
                    }
                var node = Node(
                    id: entry.node.description, state: state, operator: hexadecimal(entry.operatorID.array), stake: 0,
                    fee: 0, uptime: 0, credit: 0)
                node.capacity = entry.weight
                node.add(own[entry.node])
                return node
            })
    }
}
