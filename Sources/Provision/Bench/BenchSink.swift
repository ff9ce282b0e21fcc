internal import Bench
internal import EventLoop
internal import Links
package import Process
package import Wire

/// The far end of other machines' benchmarks.
package enum BenchSink {
    /// Listens at `address` until a signal; calls `opened` with the address on which it listens.
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
