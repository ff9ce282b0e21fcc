public import OnionCrypto
internal import Wire

/// Calls to a daemon that wait for the answer, for a process that starts or asks once.
public enum OxendCalls {
    /// The longest wait for an answer.
    private static let timeout = TimeSpan.seconds(15)

    /// The node's identity: the daemon's own Ed25519 key.
    ///
    /// It is requested at each start and never written to disk. It is sent unencrypted only within this machine.
    public static func key(of address: OxendAddress) throws(OxendError) -> SigningKey {
        guard !address.isExposed else {
            throw .badAddress("the node's key would be sent unencrypted; use https, or a daemon on this machine")
        }
        var answer = try OxendConnection(address).call(
            OxendCall(method: "get_service_privkeys", params: NoParameters()).bytes, timeout: timeout)
        defer { wipe(&answer) }
        let result = try oxendResult(KeyResult.self, in: answer)
        guard let text = result.key, !text.isEmpty else { throw .noKey }
        guard var pair = bytes(hexadecimal: text), pair.count == 64 else { throw .malformed("the key is invalid") }
        defer { wipe(&pair) }
        let key = SigningKey(seed: Secret(copying: pair.rawSpan.extracting(0..<32), locked: true))
        guard key.publicKey.array == Array(pair[32...]) else { throw .malformed("the key's halves do not match") }
        return key
    }

    /// The `….loki` address of a name of the Oxen Name Service.
    public static func resolve(_ name: String, by address: OxendAddress) throws(OxendError) -> String {
        guard let name = OxenName(name) else { throw .unknownName }
        let call = OxendCall(method: "ons_resolve", params: ResolveParameters(nameHash: name.hash))
        let answer = try OxendConnection(address).call(call.bytes, timeout: timeout)
        let result = try oxendResult(ResolveResult.self, in: answer)
        guard let value = result.value, let nonce = result.nonce,
            let address = name.open(value: value, nonce: nonce)
        else { throw .unknownName }
        return address
    }

    /// The nodes at the top block.
    public static func list(of address: OxendAddress) throws(OxendError) -> OxendList {
        let call = OxendCall(method: "get_service_nodes", params: NodeListParameters())
        let answer = try OxendConnection(address).call(call.bytes, timeout: timeout)
        return try OxendList(try oxendResult(NodeListResult.self, in: answer))
    }
}
