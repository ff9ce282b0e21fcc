import Control
import EventLoop
import OnionCrypto
import Process
import Provision
import Registry
import Testing
import Wire

@testable import Daemon

private let quiet = "[web]\nlisten = 'off'\n[log]\nlevel = 'critical'\n"
private let client = "[client]\nsocks = ['127.0.0.1:0']\n"
private let relay = "[relay]\nlisten = ['127.0.0.1:0']\n"

extension ProcessTests {
    @Suite struct AnswersTests {
        @Test func aClientComesFirstAndTheProcessIsReadyWhenAllAre() throws {
            let running = try Running(client + relay + quiet)
            defer { running.end() }
            let status = try #require(running.answer(.status, as: StatusReport.self))
            #expect(status.role == .client)
            #expect(status.others?.map(\.role) == [.relay])
            #expect(!status.ready && !status.isAllReady)
            #expect(status.problem != nil)
            #expect(status.socks.first?.hasPrefix("127.0.0.1:") == true)
            let own = try #require(status.others?.first)
            #expect(own.node == running.network.nodes[0].id.description)
            #expect(own.monthBytes != nil && own.registryState == .active)
            var ready = status
            ready.ready = true
            ready.others?[0].ready = false
            #expect(!ready.isAllReady)
            ready.others?[0].ready = true
            #expect(ready.isAllReady)
            ready.others = nil
            #expect(ready.isAllReady)
        }

        @Test func aProcessAnswersWhatItsRolesKnow() throws {
            let both = try Running(client + relay + quiet)
            defer { both.end() }
            #expect(both.answer(.paths, as: PathsReport.self)?.paths.isEmpty == true)
            #expect(both.answer(.exits, as: ExitsReport.self) != nil)
            #expect(both.answer(.streams, as: StreamsReport.self)?.keys.isEmpty == true)
            #expect(both.answer(.newpath, as: Done.self) != nil)
            #expect(both.refusal(.newpath, "xxxxx")?.contains("no app uses the key 'xxxxx'") == true)
            #expect(both.answer(.log, as: LogReport.self) != nil)
            #expect(both.answer(.metrics, as: MetricsReport.self)?.metrics.hasSuffix("# EOF\n") == true)
            #expect(both.refusal(.web) == "there is no status page: web.listen is off")
            #expect(both.answer(.check, as: CheckReport.self)?.items.contains { $0.name == "files" } == true)
            #expect(both.process.reports.page.status.role == .client)
        }

        @Test func whatNoRoleKnowsIsRefused() throws {
            let onlyRelay = try Running(relay + quiet)
            #expect(onlyRelay.refusal(.paths) == "a relay has no paths of its own; ask a client")
            #expect(onlyRelay.refusal(.request) == "a relay asks no nodes by onion requests; ask a client")
            #expect(onlyRelay.refusal(.box) == "a relay stores and reads nothing of its own; ask a client")
            onlyRelay.end()
            let onlyClient = try Running(client + quiet)
            for argument in [nil, "", "x status", "\(NodeID(Bytes32()))", "\(NodeID(Bytes32())) stat", " status"] {
                #expect(onlyClient.refusal(.request, argument)?.hasPrefix("expected a node's id") == true)
            }
            let key = String(repeating: "ab", count: 32)
            for argument in [
                nil, "", "swarm", "swarm \(key) x", "put \(key)", "put \(key) abc", "list ab", "list \(key) x:1:1",
                "get \(key) ab", "get \(key) \(key) nobody", "delete \(key)", "take \(key)", "list \(key) 1 2 3",
            ] {
                #expect(onlyClient.refusal(.box, argument)?.hasPrefix("expected 'swarm BOX'") == true)
            }
            #expect(onlyClient.answer(.box, "swarm \(key)", as: SwarmReport.self)?.replicas.count == 1)
            let long = String(repeating: "00", count: 65_389)
            #expect(onlyClient.refusal(.box, "put \(key) \(long)")?.contains("at most 65388 bytes") == true)
            guard case .later = onlyClient.process.answer(.request, "\(NodeID(Bytes32())) status") else {
                Issue.record("a request is answered later")
                return
            }
            #expect(onlyClient.refusal(.nodes)?.contains("this process follows no ledger") == true)
            onlyClient.end()
        }

        @Test func theFirstSignalEndsTheRolesAndTheSecondForcesThem() throws {
            for (signals, status) in [([Signals.Signal.terminate], Int32(0)), ([.interrupt, .terminate], 1)] {
                let running = try Running(client + quiet)
                let timer = LoopTimer(on: running.process.loop) {
                    for signal in signals { running.process.received(signal) }
                }
                timer.schedule(at: running.process.loop.now)
                #expect(running.process.run() == status)
                timer.close()
            }
        }

        @Test func aNodeOfTheLedgerIsFoundByItsBeginning() throws {
            let running = try Running(nodes: 3, relay + quiet)
            defer { running.end() }
            let all = try #require(running.answer(.nodes, as: NodesReport.self))
            #expect(all.height == 1)
            #expect(Set(all.nodes.map(\.id)) == Set(running.network.nodes.map(\.id.description)))
            #expect(all.nodes.allSatisfy { $0.state == "active" && $0.fee == 1_000 && $0.contributions == nil })
            let first = all.nodes[0].id
            let one = try #require(running.answer(.nodes, String(first.prefix(20)), as: NodesReport.self))
            #expect(one.nodes.map(\.id) == [first])
            #expect(one.nodes[0].contributions?.map(\.amount) == [all.fullStake])
            #expect(running.answer(.nodes, first, as: NodesReport.self)?.nodes.count == 1)
            #expect(running.refusal(.nodes, "nobody")?.hasPrefix("the registry has no node nobody") == true)
            #expect(running.refusal(.nodes, String(repeating: "x", count: 1_000)).map { $0.count < 200 } == true)
        }

        @Test func anAccountIsShownWithItsStakes() throws {
            let running = try Running(relay + quiet)
            defer { running.end() }
            let node = try #require(running.answer(.nodes, as: NodesReport.self)?.nodes.first)
            let account = try #require(running.answer(.account, node.operator, as: AccountReport.self))
            #expect(account.stakes.map(\.node) == [node.id])
            #expect(account.nonce == 1)
            #expect(account.network.count == 64)
            let nobody = String(repeating: "0", count: 64)
            #expect(running.answer(.account, nobody, as: AccountReport.self)?.balance == 0)
            for wrong in [nil, "", "12", nobody + "00", String(repeating: "z", count: 64)] {
                #expect(running.refusal(.account, wrong) == "an account is 64 hexadecimal digits")
            }
        }

        @Test func anOperationIsTriedOnACopy() throws {
            let running = try Running(relay + quiet)
            defer { running.end() }
            let key = SigningKey()
            let account = try #require(
                running.answer(.account, hexadecimal(key.publicKey.array), as: AccountReport.self))
            let network = try #require(bytes32(hexadecimal: account.network))
            let operation = RegistryOperation(network: network, nonce: 0, action: .claim, key: key)
            let bytes = hexadecimal(operation.encoded())
            let report = try #require(running.answer(.dryrun, bytes, as: OperationReport.self))
            #expect(report.state == .refused)
            #expect(report.rule == "unknownAccount")
            for command in [ControlCommand.dryrun, .submit] {
                for wrong in [nil, "", "zz", String(bytes.dropLast(2)), "00" + bytes] {
                    #expect(running.refusal(command, wrong) == "expected the bytes of an operation in hexadecimal")
                }
            }
            #expect(running.refusal(.operation, report.operation) == "no such operation was submitted here")
            // An operation that was submitted is known, and is submitted only once.
            let waiting = try #require(running.answer(.submit, bytes, as: OperationReport.self))
            #expect(waiting.state == .waiting)
            #expect(running.answer(.operation, waiting.operation, as: OperationReport.self) == waiting)
            #expect(running.answer(.submit, bytes, as: OperationReport.self) == waiting)
        }

        @Test(arguments: [nil, "", "-1", "2h", "4294967296"])
        func aMaintenanceHasANumberOfSeconds(argument: String?) throws {
            let running = try Running(relay + quiet)
            defer { running.end() }
            #expect(running.refusal(.maintenance, argument) == "a maintenance needs a number of seconds")
        }

        @Test func aCheckThatIsNotDoneDoesNotServe() throws {
            let running = try Running(relay + quiet)
            defer { running.end() }
            let report = try #require(running.relay?.checkReport())
            #expect(!report.serves)
            #expect(CheckReport(items: [.init(name: "a", verdict: "good", text: "")], done: true).serves)
            #expect(!CheckReport(items: [.init(name: "a", verdict: "good", text: "")], done: false).serves)
            #expect(
                !CheckReport(
                    items: [.init(name: "a", verdict: "good", text: ""), .init(name: "b", verdict: "bad", text: "")],
                    done: true
                ).serves)
        }
    }
}
