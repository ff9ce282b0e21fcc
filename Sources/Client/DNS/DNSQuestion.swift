internal import DNSProtocol
internal import Wire

/// What the exit is asked: never an app's own message.
struct DNSQuestion: Hashable {
    /// The name.
    var name: HostName
    /// The type of records.
    var type: RecordType

    /// An answer that no exit is needed for, or wanted: names that no name server has to hear of.
    enum Known {
        /// The name is the machine's own.
        case address(IPAddress?)
        /// There is no such name in the DNS.
        case noSuchName
        /// It is a node's.
        case node
    }

    /// What is known of the name here.
    var known: Known? {
        switch LocalName(name) {
        case .localhost:
            .address(type == .a ? IPAddress(v4: 0x7f00_0001) : type == .aaaa ? IPAddress(high: 0, low: 1) : nil)
        case .node: .node
        case .nowhere: .noSuchName
        case nil: nil
        }
    }
}
