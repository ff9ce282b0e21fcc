internal import Directory
internal import Logging
internal import OnionCrypto
internal import Oxen
internal import Process
internal import Wire

/// The oxend daemon beside a relay.
enum OxendRegistry {
    /// Seconds between two blocks of its chain.
    private static let blockSeconds: UInt64 = 120

    /// The node's key, which is the daemon's.
    static func key(of address: OxendAddress) throws(Failure) -> SigningKey {
        do {
            return try OxendCalls.key(of: address)
        } catch {
            throw Failure(.unavailable, "--oxend \(address): \(error)")
        }
    }

    /// A daemon for the node `node`; an epoch has as many blocks as fit in its seconds, at least one.
    static func daemon(at address: OxendAddress, network: NetworkFile, node: NodeID, log: Logger) -> OxendDaemon {
        var configuration = OxendConfiguration(
            address: address, network: network.id, node: node,
            epochBlocks: max(1, network.epochSeconds / blockSeconds))
        configuration.pollInterval = .seconds(Int64(max(1, min(10, network.epochSeconds / 60))))
        // For tests only, which cannot wait an hour for a silent daemon.
        if let factor = Files.environment("TUNIC_OXEND_HURRY").flatMap({ Int64($0) }) {
            configuration.speedUp(by: factor)
        }
        return OxendDaemon(configuration, log: log)
    }

    /// Starts the calls to the daemon.
    static func start(_ daemon: OxendDaemon) throws(Failure) {
        do {
            try daemon.start()
        } catch {
            throw Failure(.system, "the calls to the oxend daemon cannot be made: \(error)")
        }
    }
}
