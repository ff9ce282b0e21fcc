public import Links
public import Onion
internal import OnionCrypto
public import Wire

/// Builds the paths of one client: a link to the guard, BUILD, and its answer (protocol.md, section 6).
public final class PathMaker {
    /// The longest times of a build: for the guard's link, and then for the answer.
    public typealias Limits = (link: TimeSpan, answer: TimeSpan)

    /// The links over which paths are built.
    public let links: Links
    private let network: Bytes32
    private let clock: () -> UnixTime
    private var randoms = PathIDSequence()

    /// Builds over `links`, with the time of `clock` in the records.
    public init(links: Links, network: Bytes32, clock: @escaping () -> UnixTime) {
        self.links = links
        self.network = network
        self.clock = clock
    }

    /// A new id for the returning packets of a path at `place` in the client's table, which is below 2^23.
    public func pathID(at place: UInt32) -> UInt64 {
        PathID.make(worker: 0, index: place | PathID.clientBit, random: randoms.next())
    }

    /// Builds a path over `hops`, the guard at `addresses` first; its packets return under `pathID`.
    ///
    /// `linked` is called when the guard's link is up, and `completion` once after that; neither inside this call. If
    /// `isWanted` has become false meanwhile, neither is called, and a built path is ended.
    public func build(
        _ hops: [HopTarget], at addresses: [Endpoint], as pathID: UInt64, limits: Limits,
        isWanted: @escaping () -> Bool, linked: @escaping (LinkID) -> Void,
        completion: @escaping (consuming PathOutcome) -> Void
    ) {
        links.link(to: NodeID(hops[0].node), at: addresses, limit: limits.link) { [weak self] link in
            guard let self, isWanted() else { return }
            guard let link else { return completion(.noLink) }
            linked(link)
            build(hops, over: link, as: pathID, limit: limits.answer, isWanted: isWanted, completion: completion)
        }
    }

    /// Builds a path as ``build(_:at:as:limits:isWanted:linked:completion:)`` does, over a guard's link that is up.
    ///
    /// `completion` is called inside this call if no records can be made.
    public func build(
        _ hops: [HopTarget], over link: LinkID, as pathID: UInt64, limit: TimeSpan,
        isWanted: @escaping () -> Bool = { true }, completion: @escaping (consuming PathOutcome) -> Void
    ) {
        let builder: PathBuilder
        do throws(PathBuildError) {
            builder = try PathBuilder(hops: hops, network: network, time: clock())
        } catch {
            return completion(.unbuildable(error))
        }
        let message = builder.message(pathID: pathID)
        let pending = Once(builder)
        let began = links.now
        links.request(on: link, PathMessage.build, body: message, timeout: limit) { [weak self] result in
            guard let self, let builder = pending.take() else { return }
            switch result {
            case .success(let body):
                let outcome = outcome(of: builder.receive(body.rawSpan, now: links.now), over: link, since: began)
                if isWanted() { completion(outcome) } else { drop(outcome) }
            case .failure(.refused): if isWanted() { completion(.reset) }
            case .failure(.linkDown): if isWanted() { completion(.noLink) }
            case .failure(.limit): if isWanted() { completion(.linkFull) }
            case .failure(.timedOut): if isWanted() { completion(.unanswered) }
            }
        }
    }

    private func outcome(
        of result: consuming PathBuildResult, over link: LinkID, since began: Instant
    ) -> PathOutcome {
        switch consume result {
        case .built(let layers, let guardPathID):
            links.addPath(on: link)
            return .built(
                BuiltPath(layers, link: link, guardPathID: guardPathID, buildTime: links.now - began))
        case .refused(let hop, let status): return .refused(hop: hop, status)
        case .broken(let hop): return .broken(hop: hop)
        }
    }

    private func drop(_ outcome: consuming PathOutcome) {
        if case .built(let path) = consume outcome { path.end(on: links) }
    }
}

/// A value that an escaping closure uses once.
private final class Once<Value: ~Copyable> {
    private var value: Value?

    init(_ value: consuming Value) { self.value = consume value }

    func take() -> Value? { value.take() }
}
