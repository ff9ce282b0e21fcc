internal import EventLoop
internal import Wire

/// The sockets of one worker, at most one per address family.
struct LinkSockets {
    private var sockets: [DatagramSocket] = []

    /// The total of sent packets at which receiving pauses.
    var sendCeiling = UInt64.max

    /// Whether receiving is paused: packets that arrive wait in the kernel.
    var isReceivePaused = false {
        didSet {
            guard isReceivePaused != oldValue else { return }
            for socket in sockets { socket.isReceivePaused = isReceivePaused }
        }
    }

    /// Opens the sockets for the addresses in `configuration`; `receiver` gets their packets, and `table` sends on
    /// them.
    ///
    /// After an error some sockets may be open.
    mutating func open(
        on loop: Loop, _ configuration: LinksConfiguration, isNode: Bool, receiver: any DatagramReceiver,
        for table: inout LinkTable
    ) throws(UVError) {
        var failure: UVError?
        for (place, address) in configuration.listen.enumerated() {
            do throws(UVError) {
                var options = configuration.socket
                options.answersWhereAsked = isNode
                let socket =
                    if configuration.groups.isEmpty {
                        try DatagramSocket(on: loop, bindTo: address, configuration: options, receiver: receiver)
                    } else {
                        try DatagramSocket(
                            on: loop, worker: Int(truncatingIfNeeded: table.worker), of: configuration.groups[place],
                            receiver: receiver)
                    }
                sockets.append(socket)
                let unretained = unsafe Unmanaged.passUnretained(socket)
                if address.isIPv4 { unsafe table.socketV4 = unretained } else { unsafe table.socketV6 = unretained }
            } catch {
                guard configuration.mayLackFamily else { throw error.at(address.description) }
                failure = error
            }
        }
        if sockets.isEmpty, let failure { throw failure }
    }

    /// Closes all sockets and removes them from the table, which then sends nothing more.
    mutating func close(for table: inout LinkTable) {
        close()
        unsafe table.socketV4 = nil
        unsafe table.socketV6 = nil
    }

    /// Closes all sockets, when the table is no longer used.
    mutating func close() {
        for socket in sockets { socket.close() }
        sockets = []
    }

    /// Limits the packets that wait in the kernel to about `size` bytes for each socket; 0: the size set when it was
    /// opened.
    func limitReceiveBuffer(to size: Int) {
        for socket in sockets { socket.limitReceiveBuffer(to: size) }
    }

    /// The addresses that the sockets are bound to.
    var localAddresses: [SocketAddress] { sockets.map(\.localAddress) }

    /// Each socket's counters, in the order of the configuration's addresses.
    var counters: [DatagramCounters] { sockets.map(\.counters) }
}
