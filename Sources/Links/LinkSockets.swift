internal import EventLoop
internal import Wire

/// The sockets of one worker, one for a family of addresses at most.
struct LinkSockets {
    private var sockets: [DatagramSocket] = []

    /// How many packets may have been sent in all until those that arrive are left to wait.
    var sendCeiling = UInt64.max

    /// Whether packets that arrive are left to wait in the kernel.
    var isReceivePaused = false {
        didSet {
            guard isReceivePaused != oldValue else { return }
            for socket in sockets { socket.isReceivePaused = isReceivePaused }
        }
    }

    /// Opens the sockets that `configuration` names, which `receiver` receives from and `table` sends on.
    ///
    /// When it throws, some may be open.
    mutating func open(
        on loop: Loop, _ configuration: LinksConfiguration, isNode: Bool, receiver: any DatagramReceiver,
        for table: inout LinkTable
    ) throws(UVError) {
        var failure: UVError?
        for address in configuration.listen {
            do throws(UVError) {
                var options = configuration.socket
                options.answersWhereAsked = isNode
                let socket = try DatagramSocket(on: loop, bindTo: address, configuration: options, receiver: receiver)
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

    /// Closes all of them; the table sends no more.
    mutating func close(for table: inout LinkTable) {
        close()
        unsafe table.socketV4 = nil
        unsafe table.socketV6 = nil
    }

    /// Closes all of them, where the table is not used any more.
    mutating func close() {
        for socket in sockets { socket.close() }
        sockets = []
    }

    /// Lets about `size` bytes of packets wait in the kernel of each socket, 0: as many as they were opened with.
    func limitReceiveBuffer(to size: Int) {
        for socket in sockets { socket.limitReceiveBuffer(to: size) }
    }

    /// The addresses that the sockets are bound to.
    var localAddresses: [SocketAddress] { sockets.map(\.localAddress) }

    /// What the sockets did so far, in the order of the configuration's addresses.
    var counters: [DatagramCounters] { sockets.map(\.counters) }
}
