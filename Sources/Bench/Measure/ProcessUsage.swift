internal import Glibc

/// CPU time and resident memory of processes, from `/proc`.
public enum ProcessUsage {
    /// Whether the system has a `/proc`.
    static var isTold: Bool { !text("/proc/self/stat").isEmpty }

    /// The user and system time of a process in nanoseconds; 0 if the process is gone.
    ///
    /// `schedstat` of its threads counts nanoseconds, but not for threads that have ended. `stat` counts those too, in
    /// ticks of usually 10 ms. The larger value is nearer to the truth.
    public static func cpuNanoseconds(of pid: Int32) -> UInt64 {
        max(threadNanoseconds(of: pid), tickNanoseconds(of: pid))
    }

    /// The resident bytes of a process; 0 if the process is gone.
    public static func residentBytes(of pid: Int32) -> UInt64 {
        let fields = text("/proc/\(pid)/statm").split(separator: " ")
        guard fields.count > 1, let pages = UInt64(fields[1]) else { return 0 }
        return pages * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
    }

    /// The CPU time of this process in nanoseconds.
    public static var ownCPUNanoseconds: UInt64 {
        var usage = rusage()
        guard unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
        func nanoseconds(_ time: timeval) -> UInt64 {
            UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_usec) * 1000
        }
        return nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime)
    }

    /// The number of processors that are online.
    static var usableProcessors: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    /// The load average of the last minute; nil if the system does not tell it.
    static var loadAverage: Double? {
        var load = 0.0
        return unsafe getloadavg(&load, 1) == 1 ? short(load) : nil
    }

    private static func tickNanoseconds(of pid: Int32) -> UInt64 {
        let line = text("/proc/\(pid)/stat")
        guard let name = line.lastIndex(of: ")") else { return 0 }
        let fields = line[line.index(after: name)...].split(separator: " ")
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12]) else { return 0 }
        return (user + system) * 1_000_000_000 / UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
    }

    private static func threadNanoseconds(of pid: Int32) -> UInt64 {
        guard let folder = unsafe opendir("/proc/\(pid)/task") else { return 0 }
        defer { unsafe closedir(folder) }
        var total: UInt64 = 0
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            guard Int32(name) != nil else { continue }
            let time = text("/proc/\(pid)/task/\(name)/schedstat").split(separator: " ").first.flatMap { UInt64($0) }
            total += time ?? 0
        }
        return total
    }

    /// The first 4096 bytes of a file; empty if it cannot be read.
    static func text(_ path: String) -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : ""
    }
}
