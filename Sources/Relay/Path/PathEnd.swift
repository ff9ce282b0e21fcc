internal import EventLoop
internal import Link
internal import Onion
internal import Wire

/// Takes the paths that are built to this node.
protocol PathListener: AnyObject {
    /// Takes a path that stands, with the secrets that both its ends have; returns where its packets go.
    func pathBuilt(_ path: TerminalPath, secrets: consuming SessionSecrets) -> any PathEnd
}

/// The end of one path at its last hop.
protocol PathEnd: AnyObject {
    /// Takes the open payload of a packet with the packet number `number`.
    ///
    /// It is called on the packet path, where no path may be ended but by ``TerminalPath/endSoon()``.
    func received(_ payload: RawSpan, number: UInt64, now: Instant)
    /// The path is gone: nothing can be sent on it any more.
    func ended()
    /// Whether the path has to stay while this node drains.
    var isNeeded: Bool { get }
}

/// A path that ends at this node, for the ``PathEnd`` to send on and to end.
///
/// It is used on the loop's thread, for as long as the relay is not closed.
struct TerminalPath {
    private let handle: PathHandle
    private let link: UInt32
    /// Whom the path's link counted for when the path was built.
    let source: LinkSource
    private unowned let paths: PathService

    /// The path `handle` of `paths`, whose packets go back over `link`.
    init(_ handle: PathHandle, of paths: PathService, link: UInt32, source: LinkSource) {
        self.handle = handle
        self.paths = paths
        self.link = link
        self.source = source
    }

    /// Sends a packet: `fill` gets its number and payload and says whether there is something to send.
    ///
    /// False when nothing was sent: `fill` said so, the link takes nothing now, or the path is gone.
    func send(now: Instant, fill: (UInt64, inout MutableRawSpan) -> Bool) -> Bool {
        paths.sendFromTerminal(handle, link: link, now: now, fill: fill)
    }

    /// Leaves out a packet number.
    func skipNumber() { paths.skipNumber(handle) }

    /// Ends the path and tells its neighbour; not on the packet path.
    func end() { paths.end(handle) }

    /// Ends the path with the next sweep, unless it is to stay by then; false when too many paths wait for that.
    func endSoon() -> Bool { paths.endSoon(handle) }

    /// Has a path stay that was to end soon.
    func keep() { paths.keep(handle) }
}
