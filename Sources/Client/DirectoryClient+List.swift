internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import OnionCrypto
internal import Store
internal import Wire

/// The list of descriptors that all clients use (protocol.md, section 10.9): where one is known, a node that gives this client an
/// onion key of its own, and a guard that hands that on, do not get it used.
///
/// A newer list is used when nodes of two operators have it (`ListOffers`): a list whose signatures are held back from all others
/// would mark this client.
///
/// A version that the list does not name, as of a node that has restarted, is used when several operators had the very same one.
extension DirectoryClient {
    /// The list that is used.
    struct UsedList {
        let list: DescriptorList
        let digest: Bytes32
        /// The places of descriptors that no node has handed out yet.
        var lacking: [Int]
    }

    /// The list that is used, and newer ones.
    struct Lists {
        /// The list of descriptors that is used; nil while no node has had one.
        var used: UsedList?
        /// Newer ones that wait for the word of a second operator.
        var offers = ListOffers()
    }

    /// Goes over to `list`.
    func use(_ list: DescriptorList, digest: Bytes32) {
        descriptors.use(list)
        lists.used = UsedList(list: list, digest: digest, lacking: descriptors.lacking(list))
        lists.offers.use(list.round)
        choosing.selection = nil
    }

    /// Asks for a newer list and its descriptors; `then` follows in any case.
    ///
    /// Where another operator's list waits, the node is first asked which one it has.
    func fetchList(_ link: LinkID, from node: NodeID, then: @escaping () -> Void) {
        let owner = owner(of: node)
        guard lists.offers.concern(owner), trust.chain.snapshot.isStaked(node) else {
            return fetchNewList(link, from: node, then: then)
        }
        var writer = ByteWriter(capacity: 8)
        writer.u64(trust.chain.snapshot.height)
        links.request(on: link, DirectoryMessage.getSnapshotID, body: writer.bytes, timeout: Self.answerLimit) {
            [weak self] result in
            guard let self else { return }
            guard case .success(let body) = result, let answer = SnapshotIDAnswer(body) else {
                return fetchLacking(link, then: then)
            }
            if let offer = lists.offers.named(answer.listDigest, by: owner) {
                adopt(offer.list, digest: offer.digest, from: link, then: then)
            } else if answer.listRound > lists.used?.list.round ?? 0, !lists.offers.has(answer.listDigest, of: owner) {
                fetchNewList(link, from: node, then: then)
            } else {
                fetchLacking(link, then: then)
            }
        }
    }

    /// Asks for a newer list than the one in use, which is used when a node of another operator has it too.
    private func fetchNewList(_ link: LinkID, from node: NodeID, then: @escaping () -> Void) {
        var writer = ByteWriter(capacity: 8)
        writer.u64(lists.used?.list.round ?? 0)
        links.request(on: link, DirectoryMessage.getList, body: writer.bytes, timeout: Self.longAnswerLimit) {
            [weak self] result in
            guard let self else { return }
            guard case .success(let body) = result, !body.isEmpty else { return fetchLacking(link, then: then) }
            let (trusted, trustedDigest, id) = (trust.chain.snapshot, trust.chain.digest, network.id)
            loop.work {
                Self.checkedList(body, trusted, trustedDigest, network: id)
            } completion: { [weak self] result in
                guard let self else { return }
                switch result {
                case .success(let (list, digest)):
                    if isConfirmed(digest, by: node) {
                        return adopt(list, digest: digest, from: link, then: then)
                    }
                    if list.round > lists.used?.list.round ?? 0, trust.chain.snapshot.isStaked(node) {
                        lists.offers.add(.init(list: list, digest: digest, node: node, owner: owner(of: node)), at: now)
                    }
                    then()
                case .failure(.otherSnapshot):
                    // It names a newer snapshot than this client has come to.
                    then()
                case .failure(let refusal):
                    log.warning(
                        "a node offered a list of descriptors that is refused", metadata: ["reason": "\(refusal)"])
                    then()
                }
            }
        }
    }

    /// Whether another operator's node has brought the list that this node brings, or nobody else can be asked.
    private func isConfirmed(_ digest: Bytes32, by node: NodeID) -> Bool {
        guard trust.operatorCount > 1 else { return true }
        return trust.chain.snapshot.isStaked(node) && lists.offers.named(digest, by: owner(of: node)) != nil
    }

    private static func checkedList(
        _ body: [UInt8], _ trusted: Snapshot, _ trustedDigest: Bytes32, network: Bytes32
    ) -> Result<(DescriptorList, Bytes32), ListRefusal> {
        do throws(ListRefusal) {
            let signed: SignedDescriptorList
            do {
                signed = try SignedDescriptorList(decoding: body.rawSpan)
            } catch {
                throw .malformed(error)
            }
            let digest = try ListSigning.check(signed, network: network, trusted: trusted, digest: trustedDigest)
            return .success((signed.list, digest))
        } catch {
            return .failure(error)
        }
    }

    /// Fetches what a list names and goes over to it, if that is nearly all: who hands out a list alone cannot empty this client.
    private func adopt(_ list: DescriptorList, digest: Bytes32, from link: LinkID, then: @escaping () -> Void) {
        let places = descriptors.lacking(list)
        fetchListed(places, of: list, digest, link) { [weak self] found in
            guard let self else { return }
            // What has expired counts as lacking: an old list, with the descriptors of its time, would leave this client none.
            let found = found.filter {
                (try? self.descriptors.checkSound($0, at: self.unixTime, slack: DescriptorStore.clockTolerance)) != nil
            }
            guard list.round > lists.used?.list.round ?? 0, (places.count - found.count) * 4 <= list.hashes.count else {
                return then()
            }
            guard leavesEnough(list, found) else {
                log.notice("a list that names few nodes is not used")
                lists.offers.drop(digest)
                return then()
            }
            let isFirst = lists.used == nil
            use(list, digest: digest)
            for signed in found {
                _ = descriptors.hear(signed, from: nil, operators: trust.operatorCount, at: unixTime)
            }
            lists.used?.lacking = descriptors.lacking(list)
            keeper.keep(list)
            if isFirst { log.info("descriptors are used by the lists that the nodes sign") }
            then()
        }
    }

    /// Whether a client that may choose could go on doing so by `list` and what was `found` of it.
    ///
    /// A list from the first minutes of a network names only those who were there, and no voter demands what is newer.
    private func leavesEnough(_ list: DescriptorList, _ found: [SignedDescriptor]) -> Bool {
        guard coverage(of: descriptors, down: rounds.down).isEnough else { return true }
        var after = descriptors
        after.use(list)
        for signed in found { _ = after.hear(signed, from: nil, operators: trust.operatorCount, at: unixTime) }
        return coverage(of: after, down: rounds.down).isEnough
    }

    /// Asks for descriptors of the list that nobody has handed out yet.
    private func fetchLacking(_ link: LinkID, then: @escaping () -> Void) {
        guard let used = lists.used, !used.lacking.isEmpty else { return then() }
        fetchListed(used.lacking, of: used.list, used.digest, link) { [weak self] found in
            guard let self else { return }
            for signed in found {
                _ = descriptors.hear(signed, from: nil, operators: trust.operatorCount, at: unixTime)
            }
            if lists.used?.digest == used.digest {
                let brought = Set(found.compactMap { used.list.place(of: $0.digest) })
                lists.used?.lacking.removeAll { brought.contains($0) }
            }
            then()
        }
    }

    /// The descriptors at `places` of a list, as far as a node hands them out, each verified.
    private func fetchListed(
        _ places: [Int], of list: DescriptorList, _ digest: Bytes32, _ link: LinkID,
        then: @escaping ([SignedDescriptor]) -> Void
    ) {
        guard !places.isEmpty else { return then([]) }
        let body = ListedQuestion(digest: digest, places: places).encoded()
        links.request(on: link, DirectoryMessage.getListed, body: body, timeout: Self.longAnswerLimit) {
            [weak self, loop] result in
            guard let self else { return }
            guard case .success(let body) = result, !body.isEmpty else { return then([]) }
            let id = network.id
            loop.work {
                let found = (try? SignedDescriptor.decodeList(body.rawSpan)) ?? []
                let wanted = Set(places.map { list.hashes[$0] })
                return found.filter { wanted.contains($0.digest) && $0.isAuthentic(network: id) }
            } completion: {
                then($0)
            }
        }
    }

    /// Asks nodes of other operators which list they have, while one waits: the guards, and after a while also a node of the
    /// network file, which learns this machine's address.
    func confirmList() {
        guard lists.offers.asksNow(now), let newest = lists.offers.newest else { return }
        var nodes = guards.primaries.map(\.node)
        if lists.offers.wantsStranger(now), let drawn = drawStranger(notOf: nodes) { lists.offers.ask(drawn, at: now) }
        if let stranger = lists.offers.askedStranger, !nodes.contains(stranger) { nodes.append(stranger) }
        for node in nodes where mayConfirm(node) {
            links.link(to: node, at: addresses(of: node), limit: PathPool.linkLimit) { [weak self] link in
                guard let self, let link else { return }
                fetchList(link, from: node) { [weak self] in self?.changed() }
            }
        }
        links.link(to: newest.node, at: addresses(of: newest.node), limit: PathPool.linkLimit) { [weak self] link in
            guard let self, let link else { return }
            lists.offers.asked()
            guard let lone = lists.offers.ofLoneSource, lone.node == newest.node else { return }
            adopt(lone.list, digest: lone.digest, from: link) { [weak self] in
                guard let self else { return }
                if lists.used?.digest == lone.digest {
                    log.notice("a list of descriptors is used that one operator alone has shown; no other answers")
                }
                changed()
            }
        }
    }

    /// A node of the network file whose word could confirm a list that waits; any node where the file has none.
    private func drawStranger(notOf nodes: [NodeID]) -> NodeID? {
        let reachable = network.bootstrap.filter { choosing.families.reaches($0.addresses) }.map(\.node)
        let known = reachable + descriptors.all.map(\.descriptor.node)
        let strangers = known.filter { mayConfirm($0) && !nodes.contains($0) }
        let ofFile = strangers.filter(reachable.contains)
        return (ofFile.isEmpty ? strangers : ofFile).randomElement(using: &random)
    }

    /// Whether the node's word could confirm a list that waits.
    private func mayConfirm(_ node: NodeID) -> Bool {
        trust.chain.snapshot.isStaked(node) && lists.offers.concern(owner(of: node))
    }

    // MARK: Versions that no list names

    /// Asks other operators' nodes for what has changed, where a node has told of a newer version of a hop that could not be used.
    ///
    /// They learn this machine's address, so they are asked seldom; none learns which hop it is.
    func vouch(beside source: NodeID) {
        guard doubts.asksOthers(descriptors, at: now) else { return }
        var owners = Set([owner(of: source)])
        let bootstrap = network.bootstrap.filter { choosing.families.reaches($0.addresses) }.map(\.node)
        let others = guards.primaries.map(\.node) + bootstrap.shuffled(using: &random)
        for node in others where owners.count <= DescriptorStore.vouchers && owners.insert(owner(of: node)).inserted {
            links.link(to: node, at: addresses(of: node), limit: PathPool.linkLimit) { [weak self] link in
                guard let self, let link else { return }
                fetchDescriptors(link, from: node) { [weak self] isGood in if isGood { self?.changed() } }
            }
        }
    }
}
