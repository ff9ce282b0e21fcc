internal import Control
internal import Glibc
internal import Process

/// The process's use of the machine.
struct ProcessFigures: Encodable {
    /// Processor time since the start, in seconds.
    var cpuSeconds: Double
    /// The use of one processor over the last seconds, in percent.
    var cpuPercent: Double = 0
    /// Resident memory in bytes.
    var residentBytes: UInt64
    /// Virtual memory in bytes.
    var virtualBytes: UInt64
    /// Open descriptors, and the limit.
    var descriptors: Int
    var descriptorLimit: Int

    enum CodingKeys: String, CodingKey {
        case descriptors
        case cpuSeconds = "cpu_seconds"
        case cpuPercent = "cpu_percent"
        case residentBytes = "resident_bytes"
        case virtualBytes = "virtual_bytes"
        case descriptorLimit = "descriptor_limit"
    }

    /// The present values.
    init() {
        cpuSeconds = Self.cpuSeconds
        let pages = Self.text("/proc/self/statm").split(separator: " ").map { UInt64($0) ?? 0 }
        let page = UInt64(sysconf(Int32(_SC_PAGESIZE)))
        virtualBytes = (pages.first ?? 0) * page
        residentBytes = (pages.count > 1 ? pages[1] : 0) * page
        descriptors = Self.countDescriptors()
        descriptorLimit = ProcessLimits.descriptors
    }

    /// Processor time since the start, in seconds.
    static var cpuSeconds: Double {
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    private static func text(_ path: String) -> String {
        (try? Files.read(path, limit: 4096)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    private static func countDescriptors() -> Int {
        guard let folder = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { unsafe closedir(folder) }
        var count = 0
        while unsafe readdir(folder) != nil { count += 1 }
        // Without . and .. and the folder's own descriptor.
        return max(0, count - 3)
    }
}

extension OpenMetrics {
    /// Adds the process's values, with the names that Prometheus clients use.
    mutating func add(_ figures: ProcessFigures, startedAt start: UInt64) {
        add(
            .counter, "process_cpu_seconds", unit: "seconds", "Processor time of user and system.",
            [Sample(figures.cpuSeconds)])
        add(
            .gauge, "process_resident_memory_bytes", unit: "bytes", "Memory that is in use.",
            [Sample(Double(figures.residentBytes))])
        add(
            .gauge, "process_virtual_memory_bytes", unit: "bytes", "Memory that is addressed.",
            [Sample(Double(figures.virtualBytes))])
        add(.gauge, "process_open_fds", "Open descriptors.", [Sample(Double(figures.descriptors))])
        add(.gauge, "process_max_fds", "How many descriptors may be open.", [Sample(Double(figures.descriptorLimit))])
        add(
            .gauge, "process_start_time_seconds", unit: "seconds", "When the process started, since 1970.",
            [Sample(Double(start))])
    }
}
