internal import DNSProtocol
internal import Wire

/// A question to the exit, which never gets an app's own message.
struct DNSQuestion: Hashable {
    var name: HostName
    var type: RecordType

    /// An answer that needs no exit, for names that must not be sent to a name server.
    enum Known {
        /// A name of this machine, with its address if the type has one.
        case address(IPAddress?)
        /// There is no such name in the DNS.
        case noSuchName
        /// A name of a node.
        case node
    }

    /// The answer that needs no exit; nil if an exit must be asked.
    ///
    /// A system that asks this port for everything also asks for names of its own network. An exit that saw them could
    /// recognise the user. `allowsPrivate` says that exits may know such names.
    func known(allowsPrivate: Bool) -> Known? {
        switch LocalName(name) {
        case .localhost:
            .address(type == .a ? IPAddress(v4: 0x7f00_0001) : type == .aaaa ? IPAddress(high: 0, low: 1) : nil)
        case .node: .node
        case .nowhere: .noSuchName
        case nil: !allowsPrivate && isOfOwnNetwork ? .noSuchName : nil
        }
    }

    /// Whether the question is for a name of the machine's own network, or for how to reach a name without a dot.
    ///
    /// Browsers ask for HTTPS records beside the addresses.
    private var isOfOwnNetwork: Bool {
        let isBare = !name.text.utf8.contains(UInt8(ascii: "."))
        return isBare && [.a, .aaaa, .https, .svcb].contains(type) || LocalName.isOfOwnNetwork(name)
    }
}
