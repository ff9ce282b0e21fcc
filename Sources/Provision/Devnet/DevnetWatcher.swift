/// Who is told what a network of this machine does.
package protocol DevnetWatcher: AnyObject {
    /// It goes on with its start, in words.
    func starting(_ text: String)
    /// A path is ready.
    func ready(_ devnet: Devnet, _ announcement: DevnetAnnouncement)
    /// A process has ended that was to run, in words.
    func memberEnded(_ text: String)
    /// It begins to end.
    func ending()
}

/// What `tunic devnet --json` prints.
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
    /// Where the keys are: `wallets/bank.key`, `wallets/operator-1.key`, `node-1/identity.key`.
    package var folder: String
    /// The network file.
    package var network: String
    package var nodes: [Node]
}
