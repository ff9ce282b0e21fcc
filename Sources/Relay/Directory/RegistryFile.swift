public import Directory
public import EventLoop
internal import Store
public import Wire

/// A registry file that the network's authorities sign.
///
/// It is read again at intervals (docs/registry.md).
///
/// A file is refused if it cannot be read, is older than the one before, or lacks signatures. The last good one then
/// stays in force.
public final class RegistryFile: RegistrySource {
    /// The interval at which the file is read.
    public static let interval = TimeSpan.seconds(5)

    private let path: String
    private let loop: Loop
    private let time: () -> UnixTime
    private var registry: StaticRegistry
    private var fileProblem: RegistryFileProblem?
    private var timer: LoopTimer?

    /// The registry of `network` in the file at `path`, which is read now, and later on another thread.
    ///
    /// `time` is the wall clock.
    public init(_ network: NetworkFile, path: String, loop: Loop, time: @escaping () -> UnixTime) {
        self.path = path
        self.loop = loop
        self.time = time
        (registry, fileProblem) = Self.read(path, StaticRegistry(network), at: time())
        timer = LoopTimer(on: loop) { [weak self] in self?.readAgain() }
        schedule()
    }

    /// The registry after the file has been read again, and the file's problem.
    ///
    /// After a problem it is the registry `before`.
    private static func read(
        _ path: String, _ before: StaticRegistry, at now: UnixTime
    ) -> (StaticRegistry, RegistryFileProblem?) {
        let bytes: [UInt8]
        do throws(StoreError) { bytes = try StateFile.readPublic(path) } catch { return (before, .unreadable(error)) }
        var after = before
        do throws(StaticRegistryError) { _ = try after.read(bytes, at: now) } catch { return (before, .refused(error)) }
        return (after, nil)
    }

    private func schedule() { timer?.schedule(at: (Instant(nanoseconds: loop.now) + Self.interval).nanoseconds) }

    private func readAgain() {
        let (path, before, now) = (path, registry, time())
        loop.work {
            Self.read(path, before, at: now)
        } completion: { [weak self] found in
            guard let self else { return }
            (registry, fileProblem) = found
            schedule()
        }
    }

    /// The snapshot of the epoch at `now`, if its height is above `height`.
    public func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot? {
        registry.snapshot(above: height, at: now)
    }

    /// The fault of the file; nil if it is good.
    public var problem: (any RegistrySourceProblem)? { fileProblem }

    /// Stops reading the file.
    public func close() {
        timer?.close()
        timer = nil
    }
}
