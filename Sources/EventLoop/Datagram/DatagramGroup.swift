import CShims
import Synchronization

/// The UDP sockets of several workers on one address, each for a loop on another thread.
///
/// The kernel gives each datagram to one of them by the byte at its offset 3, which is the worker's number. Other bytes
/// and shorter datagrams go to worker 0. The datagrams of a coalesced run all go where its first one goes.
///
/// No socket outside of the group can take part. The port must be free when the group opens, and a socket that joins
/// the port later gets nothing. The kernel renumbers the sockets when one closes, so all of them are closed together.
public final class DatagramGroup: Sendable {
    /// The address of all sockets, with the port that the kernel chose.
    public let address: SocketAddress
    /// How many workers have a socket: the number that was asked for, or 1 if the kernel cannot tell them apart.
    public let count: Int
    /// The options of all sockets.
    let configuration: DatagramSocket.Configuration
    /// The own addresses, which all sockets number alike; nil for one socket.
    let owns: OwnAddresses?
    /// The sockets that no loop has taken.
    private let sockets: Mutex<[KernelSocket?]>

    /// The most workers whose sockets can share an address.
    public static let mostWorkers = 16

    /// Binds sockets of `workers` workers (1 to ``mostWorkers``) to `address`; port 0 lets the kernel choose.
    ///
    /// Throws if the port is in use. If the kernel refuses only the rule by which it chooses a socket, there is one
    /// socket, which does not share its port.
    public convenience init(
        of workers: Int, bindTo address: SocketAddress,
        configuration: DatagramSocket.Configuration = DatagramSocket.Configuration()
    ) throws(UVError) {
        try self.init(of: workers, bindTo: address, configuration: configuration, steer: shim_steer_datagrams)
    }

    /// The same with a function that sets the rule and returns a negative errno if the kernel refuses it.
    init(
        of workers: Int, bindTo address: SocketAddress, configuration: DatagramSocket.Configuration,
        steer: (Int32, UInt32) -> Int32
    ) throws(UVError) {
        precondition((1...Self.mostWorkers).contains(workers), "a group has 1 to 16 workers")
        // The first is bound before it shares its port, which fails if any other socket has the port.
        let first = try KernelSocket(bindTo: address, configuration)
        var opened = [first]
        do throws(UVError) {
            if workers > 1 {
                try first.sharePort()
                // The kernel numbers them in this order.
                for _ in 1..<workers {
                    opened.append(try KernelSocket(bindTo: first.address, configuration, sharesPort: true))
                }
            }
        } catch {
            for socket in opened { socket.close() }
            throw error
        }
        if workers > 1, steer(first.descriptor, UInt32(workers)) < 0 {
            // One socket that no other can join; otherwise the kernel would choose between the two by a hash of the
            // sender.
            for socket in opened { socket.close() }
            opened = [try KernelSocket(bindTo: first.address, configuration)]
        }
        self.address = first.address
        self.configuration = configuration
        count = opened.count
        owns = opened.count > 1 ? OwnAddresses() : nil
        sockets = Mutex(opened)
    }

    deinit {
        sockets.withLock { for socket in $0 { socket?.close() } }
    }

    /// The socket of a worker, which must not have been taken before; the caller closes it.
    func take(_ worker: Int) -> KernelSocket {
        let socket = sockets.withLock { sockets in
            let socket = sockets[worker]
            sockets[worker] = nil
            return socket
        }
        guard let socket else { preconditionFailure("the socket of worker \(worker) was taken before") }
        return socket
    }
}
