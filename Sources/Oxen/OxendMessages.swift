internal import FoundationEssentials
internal import Wire

/// A call of JSON-RPC.
struct OxendCall<Parameters: Encodable>: Encodable {
    let jsonrpc = "2.0"
    let id = "0"
    let method: String
    let params: Parameters

    /// The bytes to post.
    var bytes: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return [UInt8](try encoder.encode(self))
        } catch {
            preconditionFailure("texts, numbers and lists can always be written: \(error)")
        }
    }
}

/// The common part of all results.
protocol OxendResult: Decodable {
    /// `OK`, or the error.
    var status: String? { get }
}

/// The reply to a call.
private struct OxendReply<Result: OxendResult>: Decodable {
    struct Fault: Decodable {
        var code: Int
        var message: String
    }

    var result: Result?
    var error: Fault?
}

/// The result in a reply whose status is `OK`.
func oxendResult<Result: OxendResult>(_ type: Result.Type, in bytes: [UInt8]) throws(OxendError) -> Result {
    let reply: OxendReply<Result>
    do {
        reply = try JSONDecoder().decode(OxendReply<Result>.self, from: Data(bytes))
    } catch let error as DecodingError {
        throw .malformed(summary(error))
    } catch {
        throw .malformed("no JSON")
    }
    if let fault = reply.error { throw .refused(code: fault.code, message: fault.message) }
    guard let result = reply.result else { throw .malformed("neither result nor error") }
    guard let status = result.status else { throw .malformed("no status") }
    guard status == "OK" else { throw .notOK(status) }
    return result
}

private func summary(_ error: DecodingError) -> String {
    func name(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
        (context.codingPath + (last.map { [$0] } ?? [])).map { $0.intValue.map { "\($0)" } ?? $0.stringValue }
            .joined(separator: ".")
    }
    return switch error {
    case .keyNotFound(let key, let context): "\(name(context, key)) is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context): "\(name(context)) has another type"
    case .dataCorrupted(let context): context.codingPath.isEmpty ? "not JSON" : "\(name(context)) cannot be read"
    @unknown default: "unreadable"
    }
}

/// A call without parameters.
struct NoParameters: Encodable {}

/// `get_service_nodes`.
struct NodeListParameters: Encodable {
    var fields = NodeListResult.fields
    /// The block hash of the list at hand; nil at first.
    var pollBlockHash: String?

    enum CodingKeys: String, CodingKey {
        case fields
        case pollBlockHash = "poll_block_hash"
    }
}

/// The result of `get_service_nodes`; fields that the daemon leaves out are nil.
struct NodeListResult: OxendResult {
    /// The requested fields.
    static let fields = [
        "height", "target_height", "block_hash", "service_node_pubkey", "pubkey_ed25519", "active", "funded",
        "operator_address", "operator_fee", "contributors", "total_contributed", "staking_requirement",
        "registration_height", "requested_unlock_height", "state_height", "earned_downtime_blocks",
        "decommission_count", "last_uptime_proof",
    ]

    struct Contributor: Decodable {
        var address: String
        var amount: UInt64
    }

    struct Node: Decodable {
        var serviceKey: String
        var key: String?
        var active: Bool
        var funded: Bool
        var operatorAddress: String
        var operatorFee: UInt64?
        var contributors: [Contributor]?
        var contributed: UInt64?
        var requirement: UInt64?
        var registrationHeight: UInt64?
        var unlockHeight: UInt64?
        var stateHeight: UInt64?
        var creditBlocks: Int64?
        var decommissions: UInt64?
        var lastProof: UInt64?

        enum CodingKeys: String, CodingKey {
            case serviceKey = "service_node_pubkey"
            case key = "pubkey_ed25519"
            case active, funded, contributors
            case operatorAddress = "operator_address"
            case operatorFee = "operator_fee"
            case contributed = "total_contributed"
            case requirement = "staking_requirement"
            case registrationHeight = "registration_height"
            case unlockHeight = "requested_unlock_height"
            case stateHeight = "state_height"
            case creditBlocks = "earned_downtime_blocks"
            case decommissions = "decommission_count"
            case lastProof = "last_uptime_proof"
        }
    }

    var status: String?
    var height: UInt64?
    var targetHeight: UInt64?
    var blockHash: String?
    var unchanged: Bool?
    var nodes: [Node]?

    enum CodingKeys: String, CodingKey {
        case status, height, unchanged
        case targetHeight = "target_height"
        case blockHash = "block_hash"
        case nodes = "service_node_states"
    }
}

/// `get_block_header_by_height`.
struct HeaderParameters: Encodable {
    var height: UInt64
}

/// `get_block_header_by_height` for several heights.
struct HeadersParameters: Encodable {
    var heights: [UInt64]
}

/// The result for several heights.
struct HeadersResult: OxendResult {
    struct Header: Decodable {
        var height: UInt64
        var hash: String
    }

    var status: String?
    var headers: [Header]

    enum CodingKeys: String, CodingKey {
        case status
        case headers = "block_headers"
    }
}

/// The result of `get_block_header_by_height`.
struct HeaderResult: OxendResult {
    struct Header: Decodable {
        var height: UInt64
        var hash: String
        var timestamp: UInt64
    }

    var status: String?
    var header: Header

    enum CodingKeys: String, CodingKey {
        case status
        case header = "block_header"
    }
}

/// `lokinet_ping`.
struct PingParameters: Encodable {
    var key: String
    var version: [UInt16]
    var error: String?

    enum CodingKeys: String, CodingKey {
        case version, error
        case key = "pubkey_ed25519"
    }
}

/// `report_peer_status`.
struct ReportParameters: Encodable {
    var type = "lokinet"
    var pubkey: String
    var passed: Bool
}

/// `ons_resolve`.
struct ResolveParameters: Encodable {
    /// The value 2 stands for services of the network.
    var type = 2
    var nameHash: String

    enum CodingKeys: String, CodingKey {
        case type
        case nameHash = "name_hash"
    }
}

/// The result of `ons_resolve`; an unregistered name has no value and, in older daemons, no status.
struct ResolveResult: OxendResult {
    var status: String? { "OK" }
    var value: String?
    var nonce: String?

    enum CodingKeys: String, CodingKey {
        case nonce
        case value = "encrypted_value"
    }
}

/// The result of `get_service_privkeys`; the 64 bytes in hexadecimal are seed and public key.
struct KeyResult: OxendResult {
    var status: String?
    var key: String?

    enum CodingKeys: String, CodingKey {
        case status
        case key = "service_node_ed25519_privkey"
    }
}

/// The result of a call that returns nothing.
struct PlainResult: OxendResult {
    var status: String?
}
