public import Requests
public import Transport
public import Wire

/// The part of onion requests that their user does: it knows the proxies, and builds paths to them.
public protocol RequestPaths: AnyObject {
    /// The time that requests carry.
    var time: UnixTime { get }
    /// The nodes that can be proxies now.
    var proxies: [RequestNode] { get }
    /// Tells whether a node can be the proxy of a request to `target` now; nil if no node can.
    func reach(for target: NodeID) -> ((NodeID) -> Bool)?
    /// The onion key in `node`'s new descriptor `bytes`; nil if that is not valid.
    func onionKey(of node: NodeID, in bytes: [UInt8]) -> [UInt8]?
    /// Builds a path to `proxy`, in which `target` is no hop; `completion` gets nil if that fails.
    ///
    /// `completion` is called once, perhaps inside this call, or not at all if `isWanted` has become false.
    func build(
        to proxy: NodeID, for target: NodeID, isWanted: @escaping () -> Bool,
        completion: @escaping ((any RequestPath)?) -> Void)
}

/// A built path to a proxy, for one ``RequestSession``.
public protocol RequestPath {
    /// The nodes, guard first.
    var hops: [NodeID] { get }
    /// How long the build took.
    var buildTime: TimeSpan? { get }
    /// The length of a packet's payload in bytes.
    var payloadSize: Int { get }
    /// Gives `session`, while it exists, the packets that come back, and tells it when the path has ended.
    func carry(_ session: RequestSession)
    /// Sends the packets that `session` wants to send on `leg`, until the link takes no more.
    func transmit(_ session: Session, on leg: LegID, now: Instant)
    /// Ends the path; `isByProxy` says that the proxy ended the session, or broke its rules.
    func end(isByProxy: Bool)
}
