/// Receives the events of a network on this machine.
package protocol DevnetWatcher: AnyObject {
    /// The start has reached a new step, described by the text.
    func starting(_ text: String)
    /// A path is ready.
    func ready(_ devnet: Devnet, _ announcement: DevnetAnnouncement)
    /// A process that should run has ended, for the reason in the text.
    func memberEnded(_ text: String)
    /// The network begins to stop.
    func ending()
}

/// The output of `tunic devnet --json`.
package struct DevnetAnnouncement: Codable {
    /// The client's process.
    package struct Client: Codable {
        package var pid: Int32
    }

    /// A node's process.
    package struct Node: Codable {
        package var id: String
        package var pid: Int32
        package var address: String
        package var exit: Bool
        package var control: String
    }

    package var socks: String
    package var control: String
    package var client: Client
    /// The folder of the keys: `wallets/bank.key`, `wallets/operator-1.key`, `node-1/identity.key`.
    package var folder: String
    /// The network file.
    package var network: String
    package var nodes: [Node]
}
