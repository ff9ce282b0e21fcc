internal import EventLoop
internal import Wire

/// Whether new streams have a path, and for how long they have had none.
final class Readiness {
    /// How long apps wait for a path while there is none; after that they fail at once.
    static let patience = TimeSpan.seconds(10)

    /// A change of ``Readiness/isReady``.
    enum Change {
        case began, ended
    }

    private let pool: PathPool
    private let loop: Loop
    private var wasReady = false
    /// Since when there has been no path.
    private var lackSince: Instant

    init(pool: PathPool, loop: Loop) {
        self.pool = pool
        self.loop = loop
        // The first path takes longer: the directory must be fetched before.
        lackSince = Instant(nanoseconds: loop.now) + Self.patience
    }

    /// Whether new streams have a path.
    var isReady: Bool { pool.hasReadyPath && !pool.directory.choiceLeavesNothing(hops: pool.hops) }

    /// Whether there has been no path for so long that apps should not wait for one.
    var isWithoutPaths: Bool { !isReady && Instant(nanoseconds: loop.now) - lackSince >= Self.patience }

    /// Checks again; returns the change since the last check.
    func look() -> Change? {
        let isReady = isReady
        if isReady { lackSince = Instant(nanoseconds: loop.now) }
        guard isReady != wasReady else { return nil }
        wasReady = isReady
        return isReady ? .began : .ended
    }
}
