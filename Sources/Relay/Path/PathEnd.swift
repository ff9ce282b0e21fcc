internal import EventLoop
internal import Link
internal import Onion
internal import Wire

/// Takes the paths that are built to this node.
protocol PathListener: AnyObject {
    /// Takes a path that was built, with the secrets that only its two ends have.
    ///
    /// Returns the receiver of its packets.
    func pathBuilt(_ path: TerminalPath, secrets: consuming SessionSecrets) -> any PathEnd
}

/// The end of one path at its last hop.
protocol PathEnd: AnyObject {
    /// Takes the payload of a packet, without its layer.
    ///
    /// `number` is the packet number.
    ///
    /// Called on the packet path, where a path may only be ended by ``TerminalPath/endSoon()``.
    func received(_ payload: RawSpan, number: UInt64, now: Instant)
    /// The path has ended.
    ///
    /// Nothing can be sent on it any more.
    func ended()
    /// Whether the path must stay while this node drains.
    var isNeeded: Bool { get }
}

/// A path that ends at this node.
///
/// A ``PathEnd`` uses it to send, and to end the path.
///
/// It may be used on the loop's thread, until the relay is closed.
struct TerminalPath {
    private let handle: PathHandle
    private let link: UInt32
    /// The source that the path's link counted for when the path was built.
    let source: LinkSource
    private unowned let paths: PathService

    /// The path `handle` of `paths`, whose packets go back over `link`.
    init(_ handle: PathHandle, of paths: PathService, link: UInt32, source: LinkSource) {
        self.handle = handle
        self.paths = paths
        self.link = link
        self.source = source
    }

    /// Sends a packet.
    ///
    /// `fill` gets its number and payload, and returns whether there is something to send.
    ///
    /// Returns false if nothing was sent: `fill` returned false, the link accepts nothing now, or the path has ended.
    func send(now: Instant, fill: (UInt64, inout MutableRawSpan) -> Bool) -> Bool {
        paths.sendFromTerminal(handle, link: link, now: now, fill: fill)
    }

    /// Whether the socket of the path's link has room for another packet.
    var hasRoom: Bool { paths.hasRoom(on: link) }

    /// Skips a packet number.
    func skipNumber() { paths.skipNumber(handle) }

    /// Ends the path and tells its neighbour.
    ///
    /// Must not be called on the packet path.
    func end() { paths.end(handle) }

    /// Ends the path at the next sweep, unless ``keep()`` is called before.
    ///
    /// Returns false if too many paths wait for that.
    func endSoon() -> Bool { paths.endSoon(handle) }

    /// Revokes ``endSoon()``.
    func keep() { paths.keep(handle) }
}
