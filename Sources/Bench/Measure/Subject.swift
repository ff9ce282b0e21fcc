/// A process of the subject.
public struct SubjectProcess: Sendable {
    /// Its process id.
    public var pid: Int32
    /// The id of a relay's node, as it appears in paths; nil for the client or any other proxy.
    public var node: String?

    /// A process.
    ///
    /// With `node` it is a relay.
    public init(pid: Int32, node: String? = nil) {
        self.pid = pid
        self.node = node
    }
}

/// The path builds of a client since its start.
public struct SubjectBuilds: Sendable {
    /// The builds that succeeded, and the builds that failed.
    public var built: UInt64, failed: UInt64
    /// The durations of the last builds in milliseconds, newest last.
    public var times: [Double]

    /// The figures of a client's status.
    public init(built: UInt64, failed: UInt64, times: [Double]) {
        self.built = built
        self.failed = failed
        self.times = times
    }
}

/// The proxy that is measured, if more is known of it than its SOCKS5 port.
public protocol Subject: AnyObject {
    /// The subject's processes.
    var processes: [SubjectProcess] { get }
    /// Gives the nodes of the path that carries traffic, guard first; nil unless there is exactly one such path.
    func askPath(_ completion: @escaping ([String]?) -> Void)
    /// Gives the client's builds so far; nil if the client does not tell.
    func askBuilds(_ completion: @escaping (SubjectBuilds?) -> Void)
}

/// The part of a process in the traffic of a measurement.
public enum SubjectRole: String, CaseIterable, Sendable {
    /// The SOCKS5 proxy itself.
    case client
    /// The first hop.
    case `guard`
    /// The hops between the first and the last.
    case middle
    /// The last hop, even if it is the only one.
    case exit
    /// Relays that are not on the path: those of the standby path, and idle ones.
    case others
    /// All relays, if the path changed or there were several paths.
    case relays

    /// The role of a process while traffic goes over `path`.
    static func of(_ process: SubjectProcess, on path: [String]?) -> SubjectRole {
        guard let node = process.node else { return .client }
        guard let path, !path.isEmpty else { return .relays }
        if path.last == node { return .exit }
        if path.first == node { return .guard }
        return path.contains(node) ? .middle : .others
    }
}

/// The CPU time and memory of a subject's processes in a window.
struct UsageMeter {
    private let processes: [SubjectProcess]
    private var before: [UInt64] = []
    private var used: [UInt64] = []
    private var ownBefore: UInt64 = 0
    private var ownUsed: UInt64 = 0
    private var resident: [UInt64]
    private(set) var path: [String]?

    init(_ processes: [SubjectProcess]) {
        self.processes = processes
        resident = processes.map { ProcessUsage.residentBytes(of: $0.pid) }
    }

    mutating func windowBegan() {
        before = processes.map { ProcessUsage.cpuNanoseconds(of: $0.pid) }
        ownBefore = ProcessUsage.ownCPUNanoseconds
    }

    mutating func windowEnded() {
        used = zip(processes, before).map { process, before in
            let now = ProcessUsage.cpuNanoseconds(of: process.pid)
            return now > before ? now - before : 0
        }
        ownUsed = ProcessUsage.ownCPUNanoseconds - ownBefore
        sampleMemory()
    }

    mutating func sampleMemory() {
        for (index, process) in processes.enumerated() {
            resident[index] = max(resident[index], ProcessUsage.residentBytes(of: process.pid))
        }
    }

    /// Stores the path, if it was the same at the beginning and the end of the window.
    mutating func took(path first: [String]?, _ last: [String]?) { path = first == last ? first : nil }

    /// CPU seconds of the benchmark itself.
    var ownSeconds: Double { Double(ownUsed) / 1e9 }

    /// CPU seconds of the subject.
    var totalSeconds: Double { Double(used.reduce(0, +)) / 1e9 }

    /// CPU seconds by role.
    var secondsByRole: [String: Double] {
        var sums: [String: Double] = [:]
        for (process, used) in zip(processes, used) {
            sums[SubjectRole.of(process, on: path).rawValue, default: 0] += Double(used) / 1e9
        }
        return sums
    }

    /// Resident bytes of the largest process of each role.
    var residentByRole: [String: UInt64] {
        var largest: [String: UInt64] = [:]
        for (process, bytes) in zip(processes, resident) {
            let role = SubjectRole.of(process, on: path).rawValue
            largest[role] = max(largest[role] ?? 0, bytes)
        }
        return largest
    }
}
