internal import Directory
internal import Requests
internal import Sessions
internal import Transport
internal import Wire

/// The paths of a client's onion requests.
///
/// A path of an app's session is never used here.
final class ProxyPaths: RequestPaths {
    /// A build that takes longer makes other builds use another guard; without a dead hop a build takes less than this.
    private static let slowBuild = TimeSpan.seconds(1)

    private final class Build {
        let proxy: NodeID
        let target: NodeID
        let isWanted: () -> Bool
        let completion: ((any RequestPath)?) -> Void
        /// The path's guard, and since when it builds; nil while no guard accepts the build: the next tick tries again.
        var begun: (entry: NodeID, since: Instant)?

        init(
            _ proxy: NodeID, _ target: NodeID, _ isWanted: @escaping () -> Bool,
            _ completion: @escaping ((any RequestPath)?) -> Void
        ) {
            (self.proxy, self.target, self.isWanted, self.completion) = (proxy, target, isWanted, completion)
        }
    }

    private let pool: PathPool
    /// The builds in the order in which they were asked for; some may be over.
    private var builds: [Build] = []

    init(pool: PathPool) { self.pool = pool }

    private var directory: DirectoryClient { pool.directory }

    var time: UnixTime { directory.time }
    var proxies: [RequestNode] { directory.proxies }
    /// The guards of the paths that are being built.
    var guards: Set<NodeID> { Set(builds.lazy.filter { $0.isWanted() }.compactMap { $0.begun?.entry }) }

    func reach(for target: NodeID) -> ((NodeID) -> Bool)? { directory.reach(for: target, hops: pool.hops) }

    func onionKey(of node: NodeID, in bytes: [UInt8]) -> [UInt8]? { directory.onionKey(of: node, in: bytes) }

    func build(
        to proxy: NodeID, for target: NodeID, isWanted: @escaping () -> Bool,
        completion: @escaping ((any RequestPath)?) -> Void
    ) {
        let build = Build(proxy, target, isWanted, completion)
        builds.append(build)
        begin(build)
    }

    /// Begins the builds that wait for a guard; to be called several times a second.
    func tick() {
        builds.removeAll { !$0.isWanted() }
        for build in builds where build.begun == nil && build.isWanted() { begin(build) }
    }

    /// Builds a path over a guard in use; the target of its requests is not a hop.
    private func begin(_ build: Build) {
        guard reach(for: build.target)?(build.proxy) == true else { return build.completion(nil) }
        let guards = pool.hops > 1 ? directory.requestGuards(for: build.target) : nil
        let now = pool.now
        builds.removeAll { !$0.isWanted() }
        let slow = builds.compactMap { other in
            if let begun = other.begun, now - begun.since >= Self.slowBuild { begun.entry } else { nil }
        }
        // The guard that is passed over is better than one that answers no build, as when it has just died.
        let areAllSlow = guards?.allSatisfy(slow.contains) ?? false
        do throws(PathFailure) {
            let hops = try pool.build(
                to: .node(build.proxy), avoiding: [build.target], slow: areAllSlow ? [] : slow, only: guards,
                for: .identity
            ) { [pool] result in
                build.completion((try? result.get()).map { ProxyPath(path: $0, pool: pool) })
            }
            build.begun = hops.map { ($0[0], now) }
        } catch {
            build.completion(nil)
        }
    }
}

/// A path of the pool that carries onion requests.
struct ProxyPath: RequestPath {
    let path: Path
    let pool: PathPool

    var hops: [NodeID] { path.hops }
    var buildTime: TimeSpan? { path.buildTime }
    var payloadSize: Int { pool.payloadSize }

    func carry(_ session: RequestSession) { path.session = session }

    func transmit(_ session: Session, on leg: LegID, now: Instant) {
        pool.transmit(session, on: leg, over: path, now: now)
    }

    func end(isByProxy: Bool) { pool.end(path, isByProxy ? .byExit : .ours) }
}

extension RequestSession: PathUser {
    func received(_ payload: RawSpan, number: UInt64, on path: Path, now: Instant) {
        received(payload, number: number, now: now)
    }

    func pathDied(_ path: Path, _ end: Path.End, isYoung: Bool) { pathEnded() }

    func isActive(_ path: Path) -> Bool { !isOver }

    func roundTrip(of path: Path) -> TimeSpan? { roundTrip }
}
