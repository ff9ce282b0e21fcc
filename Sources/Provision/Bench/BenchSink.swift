internal import Bench
internal import EventLoop
internal import Links
package import Process
package import Wire

/// Serves as the far end of others' benchmarks.
package enum BenchSink {
    /// Listens at `address` until a signal; `opened` gets the address where it listens.
    package static func run(at address: Endpoint, opened: (String) -> Void) throws(Failure) {
        let loop = try makeLoop()
        let farEnd: FarEnd
        do {
            farEnd = try FarEnd(on: loop, at: SocketAddress(address))
        } catch {
            throw Failure.listening(error, at: address.description, option: "--listen")
        }
        do throws(UVError) {
            let signals = try Signals(on: loop) { _ in loop.stop() }
            opened(farEnd.address?.description ?? address.description)
            loop.run()
            signals.close()
        } catch {
            throw Failure(.system, "cannot watch for signals: \(error)")
        }
        farEnd.close()
        loop.close()
    }
}
