import OnionCrypto
import Testing
import Wire

@testable import Oxen

private func reply(_ result: String) -> [UInt8] { Array(#"{"id":"0","jsonrpc":"2.0","result":\#(result)}"#.utf8) }

private func list(_ result: String) throws -> OxendList {
    try OxendList(try oxendResult(NodeListResult.self, in: reply(result)))
}

private let key = String(repeating: "ab", count: 32)
private let hash = String(repeating: "0c", count: 32)

/// Answers of a daemon in oxend's form, and answers that are refused.
struct AnswerTests {
    @Test func aListIsRead() throws {
        let list = try list(
            """
            {"status":"OK","height":1200,"target_height":1201,"block_hash":"\(hash)","service_node_states":[
              {"service_node_pubkey":"\(key)","pubkey_ed25519":"\(key)","active":true,"funded":true,
               "operator_address":"0x00112233445566778899aabbccddeeff00112233","operator_fee":34567,
               "contributors":[{"address":"0x00112233445566778899aabbccddeeff00112233","amount":25000000000000}],
               "total_contributed":25000000000000,"staking_requirement":25000000000000,"registration_height":7,
               "requested_unlock_height":0,"state_height":9,"earned_downtime_blocks":1440,"decommission_count":2,
               "last_uptime_proof":1700000000}]}
            """)
        #expect(list.height == 1_200 && list.targetHeight == 1_201 && list.blockHash == hash)
        let node = try #require(list.nodes.first)
        #expect(node.standing == .active && node.fee == 34_567 && node.stake == 25_000_000_000_000)
        #expect(node.creditBlocks == 1_440 && node.decommissions == 2 && node.lastProof == 1_700_000_000)
        #expect(
            hexadecimal(node.operatorID.array)
                == "000000000000000000000000" + "00112233445566778899aabbccddeeff00112233")
    }

    @Test func fundedAndNotActiveIsDecommissioned() throws {
        func standing(_ active: Bool, _ funded: Bool) throws -> OxendNode.Standing? {
            try list(
                """
                {"status":"OK","height":1,"block_hash":"\(hash)","service_node_states":[{"service_node_pubkey":"\(key)",
                "pubkey_ed25519":"\(key)","active":\(active),"funded":\(funded),"operator_address":"L9","registration_height":5}]}
                """
            ).nodes.first?.standing
        }
        #expect(try standing(true, true) == .active)
        #expect(try standing(false, true) == .decommissioned)
        #expect(try standing(false, false) == .open)
    }

    @Test("SW1: a funded node without a registration height has no place that could be known: the list is refused")
    func sw1NoRegistrationHeight() throws {
        func read(_ funded: Bool) throws -> Int {
            try list(
                """
                {"status":"OK","height":1,"block_hash":"\(hash)","service_node_states":[{"service_node_pubkey":"\(key)",
                "pubkey_ed25519":"\(key)","active":\(funded),"funded":\(funded),"operator_address":"L9"}]}
                """
            ).nodes.count
        }
        #expect(try read(false) == 1)
        #expect(throws: OxendError.malformed("a funded node has no registration height")) { try read(true) }
    }

    @Test func aNodeWithoutProofIsLeftOut() throws {
        let text = """
            {"status":"OK","height":1,"block_hash":"\(hash)","service_node_states":[{"service_node_pubkey":"\(key)",
            "active":true,"funded":true,"operator_address":"L9"}]}
            """
        #expect(try list(text).nodes.isEmpty)
    }

    @Test(arguments: [
        "", "{", "[]", "null", "7", #"{"result":null}"#, #"{"id":"0"}"#, #"{"result":{}}"#,
        #"{"result":{"status":"OK"}}"#,
        #"{"result":{"status":"OK","height":-1,"block_hash":"00","service_node_states":[]}}"#,
        #"{"result":{"status":"OK","height":1.5,"block_hash":"00","service_node_states":[]}}"#,
        #"{"result":{"status":"OK","height":18446744073709551616,"block_hash":"00","service_node_states":[]}}"#,
        #"{"result":{"status":"OK","height":1,"block_hash":"00","service_node_states":[]}}"#,
        #"{"result":{"status":"OK","height":1,"service_node_states":{}}}"#,
        #"{"result":{"status":"OK","height":1,"service_node_states":[{"service_node_pubkey":"zz"}]}}"#,
        "\u{0}\u{ff}<html>502</html>",
    ])
    func garbageIsMalformed(_ text: String) {
        let error = #expect(throws: OxendError.self) {
            try OxendList(try oxendResult(NodeListResult.self, in: Array(text.utf8)))
        }
        if case .malformed = error {} else { Issue.record("\(String(describing: error)) for \(text)") }
    }

    @Test func deepNestingIsGarbage() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: OxendError.self) { try oxendResult(PlainResult.self, in: Array(deep.utf8)) }
    }

    @Test func aRefusalIsToldWithItsReason() {
        func error(_ text: String) -> OxendError? {
            #expect(throws: OxendError.self) { try oxendResult(PlainResult.self, in: Array(text.utf8)) }
        }
        #expect(
            error(#"{"error":{"code":-32601,"message":"Method not found"},"id":"0"}"#)
                == .refused(code: -32601, message: "Method not found"))
        #expect(error(#"{"result":{"status":"Outdated Lokinet"}}"#) == .notOK("Outdated Lokinet"))
        #expect(
            OxendError.refused(code: 403, message: "Forbidden").description.contains("--rpc-admin"))
        // A daemon's text can neither forge log lines nor fill the log.
        let long = OxendError.notOK("a\nb" + String(repeating: "x", count: 10_000)).description
        #expect(!long.contains("\n") && long.count < 300)
    }

    @Test func callsAreWrittenAsTheDaemonReadsThem() {
        let ping = OxendCall(
            method: "lokinet_ping", params: PingParameters(key: "ab", version: [0, 9, 14], error: nil))
        #expect(
            String(decoding: ping.bytes, as: UTF8.self)
                == #"{"id":"0","jsonrpc":"2.0","method":"lokinet_ping","params":{"pubkey_ed25519":"ab","version":[0,9,14]}}"#
        )
        let report = OxendCall(method: "report_peer_status", params: ReportParameters(pubkey: "ab", passed: false))
        #expect(
            String(decoding: report.bytes, as: UTF8.self)
                == #"{"id":"0","jsonrpc":"2.0","method":"report_peer_status","params":{"passed":false,"pubkey":"ab","type":"lokinet"}}"#
        )
    }
}
