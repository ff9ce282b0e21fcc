internal import Control
internal import Directory
internal import Registry
internal import Relay
internal import Wire

/// What the control socket of a node that follows a ledger tells and takes.
final class LedgerAnswers {
    /// How many operations' ends are remembered.
    private static let limit = 256

    private let ledger: LedgerService
    /// What this node found of others by its own tests.
    private let tests: () -> [NodeTest]
    private var reports: [String: OperationReport] = [:]
    /// The operations of `reports`, the oldest first.
    private var order: [String] = []

    init(_ ledger: LedgerService, tests: @escaping () -> [NodeTest]) {
        self.ledger = ledger
        self.tests = tests
    }

    /// The answer to a command about the ledger; nil for others.
    func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply? {
        switch command {
        case .nodes: return nodes(argument)
        case .account: return account(argument)
        case .submit: return submit(argument)
        case .operation:
            guard let report = argument.flatMap({ reports[$0] }) else {
                return .refusal("no such operation was handed in here")
            }
            return .report(report)
        default: return nil
        }
    }

    private func nodes(_ argument: String?) -> ControlReply {
        let state = ledger.state
        var list: [(NodeID, RegisteredNode)] = []
        if let argument {
            guard let id = NodeID(argument), let node = state.nodes[id] else {
                return .refusal("the registry has no node \(argument.prefix(80))")
            }
            list = [(id, node)]
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
                        id: id.description, state: "\(node.standing)",
                        operator: hexadecimal(node.operatorAccount.key.array), stake: node.stake, fee: Int(node.fee),
                        uptime: node.standing == .active ? now - min(now, node.creditTime) : 0,
                        credit: node.credit(at: now, state.parameters))
                    report.lastTest = node.reports.map(\.time).max().map { now - min(now, $0) }
                    report.add(own[id])
                    report.capacity = node.capacity
                    report.leavesAt = node.leavesAt == 0 ? nil : node.leavesAt
                    if argument != nil {
                        report.contributions = node.contributions.map {
                            .init(account: hexadecimal($0.account.key.array), amount: $0.amount)
                        }
                    }
                    return report
                }))
    }

    private func account(_ argument: String?) -> ControlReply {
        guard let argument, let key = bytes32(hexadecimal: argument) else {
            return .refusal("an account is 64 hexadecimal digits")
        }
        let state = ledger.state
        let account = Account(key)
        let holding = state.accounts[account]
        let stakes = state.nodes.sorted { $0.key < $1.key }.compactMap { id, node in
            node.contribution(of: account).map {
                AccountReport.Stake(node: id.description, state: "\(node.standing)", amount: $0)
            }
        }
        return .report(
            AccountReport(
                account: argument, network: hexadecimal(state.network.array), height: state.height,
                balance: holding?.balance ?? 0, rewards: holding?.rewards ?? 0, nonce: holding?.nonce ?? 0,
                operationFee: state.parameters.operationFee, stakes: stakes,
                locked: state.locks.filter { $0.account == account }.map { .init(amount: $0.amount, until: $0.until) }))
    }

    private func submit(_ argument: String?) -> ControlReply {
        guard let bytes = argument.flatMap({ bytes(hexadecimal: $0) }),
            let operation = try? RegistryOperation(decoding: bytes.rawSpan)
        else { return .refusal("an operation is its bytes in hexadecimal (docs/registry.md, \"Operations\")") }
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
    /// Adds what this node's own tests say.
    mutating func add(_ test: NodeTest?) {
        guard let test else { return }
        func seconds(_ span: TimeSpan) -> UInt64 { UInt64(max(0, span.inSeconds)) }
        lastTest = min(lastTest ?? .max, seconds(test.sinceTest))
        lastPass = test.sincePass.map(seconds)
        marks = test.marks
        if capacity == nil { capacity = test.capacity }
    }
}

extension NodesReport {
    /// The nodes of a network without a ledger, as the trusted snapshot has them.
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
