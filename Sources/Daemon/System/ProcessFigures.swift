internal import Control
internal import Glibc
internal import Process

/// The resources of the machine that this process uses.
enum ProcessFigures {
    /// Processor time since the start, in seconds.
    static var cpuSeconds: Double {
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    /// Memory that is in use, and memory that is addressed, in bytes.
    static var memory: (resident: UInt64, addressed: UInt64) {
        let pages = text("/proc/self/statm").split(separator: " ").map { UInt64($0) ?? 0 }
        let page = UInt64(sysconf(Int32(_SC_PAGESIZE)))
        return ((pages.count > 1 ? pages[1] : 0) &* page, (pages.first ?? 0) &* page)
    }

    private static func text(_ path: String) -> String {
        (try? Files.read(path, limit: 4096)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Open descriptors.
    static func countDescriptors() -> Int {
        guard let folder = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { unsafe closedir(folder) }
        var count = 0
        while unsafe readdir(folder) != nil { count += 1 }
        // Without . and .. and the folder's own descriptor.
        return max(0, count - 3)
    }
}

extension StatusReport {
    /// Sets the figures of this process's resources; `start` is when it began, in seconds since 1970.
    mutating func addProcess(startedAt start: UInt64, cpuPercent: Double) {
        let memory = ProcessFigures.memory
        self.cpuPercent = cpuPercent
        self.cpuSeconds = ProcessFigures.cpuSeconds
        self.residentBytes = memory.resident
        self.virtualBytes = memory.addressed
        self.openFiles = ProcessFigures.countDescriptors()
        self.openFilesLimit = ProcessLimits.descriptors
        self.processStart = start
    }
}
