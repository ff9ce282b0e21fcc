internal import EventLoop
internal import Process
internal import Wire

/// Free ports of 127.0.0.1.
enum LoopbackPorts {
    /// Different UDP addresses that are not in use at the moment.
    static func free(_ count: Int, on loop: Loop) throws(Failure) -> [Endpoint] {
        var sockets: [DatagramSocket] = []
        defer { for socket in sockets { socket.close() } }
        do throws(UVError) {
            for _ in 0..<count {
                sockets.append(
                    try DatagramSocket(
                        on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil))
            }
        } catch {
            throw Failure(.system, "cannot find \(count) free UDP ports at 127.0.0.1: \(error)")
        }
        return sockets.map { Endpoint(address: IPAddress(v4: 0x7f00_0001), port: $0.localAddress.port) }
    }

    /// Throws unless a TCP listener can be opened at `address`.
    static func check(_ address: Endpoint, on loop: Loop) throws(Failure) {
        let socket = SocketAddress(high: address.address.high, low: address.address.low, port: address.port)
        do throws(UVError) {
            try StreamListener.tcp(on: loop, address: socket) { $0.close() }.close()
        } catch {
            throw Failure.listening(error, at: address.description, option: "--socks")
        }
    }
}
