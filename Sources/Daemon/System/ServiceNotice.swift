internal import CShims
internal import Glibc
internal import Process

/// Messages of a service to systemd over the socket of `NOTIFY_SOCKET` (sd_notify(3)); without one they are dropped.
enum ServiceNotice {
    /// Sends `lines`, such as `READY=1`.
    static func send(_ lines: String...) {
        guard let path = Files.environment("NOTIFY_SOCKET"), path.hasPrefix("/") || path.hasPrefix("@") else { return }
        var name = sockaddr_un()
        var bytes = Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: name.sun_path)
        guard bytes.count < capacity else { return }
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        name.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &name.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let descriptor = shim_socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue))
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let length = MemoryLayout<sa_family_t>.size + bytes.count
        var text = lines.joined(separator: "\n")
        text.withUTF8 { message in
            unsafe withUnsafePointer(to: &name) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = unsafe sendto(descriptor, message.baseAddress, message.count, 0, $0, socklen_t(length))
                }
            }
        }
    }

    /// The interval of the watchdog in nanoseconds; nil if there is none.
    static let watchdogInterval: UInt64? = {
        guard let text = Files.environment("WATCHDOG_USEC"), let limit = UInt64(text), limit > 0 else { return nil }
        if let pid = Files.environment("WATCHDOG_PID"), pid != "\(getpid())" { return nil }
        return limit / 2 * 1000
    }()

    /// The monotonic time for `MONOTONIC_USEC`.
    static var monotonicMicroseconds: UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
    }
}

/// The sockets that systemd has opened for this process (sd_listen_fds(3)), by the names that their units give them.
enum ActivatedSockets {
    /// Name and descriptor of each; several may have the same name.
    static let all: [(name: String, descriptor: Int32)] = {
        guard Files.environment("LISTEN_PID") == "\(getpid())", let text = Files.environment("LISTEN_FDS"),
            let count = Int32(text), 1...64 ~= count
        else { return [] }
        let names = (Files.environment("LISTEN_FDNAMES") ?? "").split(separator: ":", omittingEmptySubsequences: false)
        return (0..<count).map { place in
            let descriptor = 3 + place
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            return (Int(place) < names.count ? String(names[Int(place)]) : "unknown", descriptor)
        }
    }()

    /// The sockets named `name`, or one of them if `#` and a number follow the name.
    ///
    /// Each has a unique name: `NAME` for the first, `NAME#2` for the second.
    static func named(_ name: String) -> [(name: String, descriptor: Int32)] {
        let parts = name.split(separator: "#", maxSplits: 1).map(String.init)
        let matching = all.filter { $0.name == parts.first }.enumerated().map { place, socket in
            (name: place == 0 ? socket.name : "\(socket.name)#\(place + 1)", descriptor: socket.descriptor)
        }
        guard parts.count == 2 else { return matching }
        guard let number = Int(parts[1]), number >= 1, number <= matching.count else { return [] }
        return [matching[number - 1]]
    }
}
