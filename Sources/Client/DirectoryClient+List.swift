internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import OnionCrypto
internal import Requests
internal import Store
internal import Wire

/// The list of descriptors that all clients use (protocol.md, section 10.9).
///
/// With a list, an onion key that a node gave to this client alone is not used, even if a guard passes it on.
///
/// A newer list is used when nodes of two operators have it (`ListOffers`). Otherwise a list whose signatures were
/// withheld from all other clients would identify this client.
///
/// A version that the list does not name, for example of a restarted node, is used if several operators have the
/// identical version.
extension DirectoryClient {
    /// The list in use.
    struct UsedList {
        let list: DescriptorList
        let digest: Bytes32
        /// The places in the list whose descriptors no node has sent yet.
        var lacking: [Int]
    }

    /// The list in use, and newer ones.
    struct Lists {
        /// The list in use; nil while no node has had one.
        var used: UsedList?
        /// Newer lists that wait for confirmation by a second operator.
        var offers = ListOffers()
    }

    /// Begins to use `list`.
    func use(_ list: DescriptorList, digest: Bytes32) {
        descriptors.use(list, ListSchedule(epoch: network.epochSeconds))
        lists.used = UsedList(list: list, digest: digest, lacking: descriptors.lacking(list))
        lists.offers.use(list.round)
        choosing.selection = nil
    }

    /// Asks for a newer list and its descriptors; `then` is called in any case.
    ///
    /// If another operator's list waits, the node is first asked which list it has.
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

    /// Asks for a list newer than the one in use; it is adopted if a node of another operator has it too.
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
                    // The list names another snapshot than the trusted one, usually a newer one.
                    then()
                case .failure(let refusal):
                    log.warning(
                        "a node offered a list of descriptors that is refused", metadata: ["reason": "\(refusal)"])
                    then()
                }
            }
        }
    }

    /// Whether a node of another operator has brought the same list, or there is only one operator.
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

    /// Fetches the descriptors of a list, and uses the list if at most a quarter of them is missing.
    ///
    /// A source that sends only a list therefore cannot leave this client without descriptors.
    private func adopt(_ list: DescriptorList, digest: Bytes32, from link: LinkID, then: @escaping () -> Void) {
        let places = descriptors.lacking(list)
        fetchListed(places, of: list, digest, link) { [weak self] found in
            guard let self else { return }
            let isWhole = found.count == places.count
            // Expired descriptors count as missing. An old list with its old descriptors would leave this client none
            // that are valid.
            let found = found.filter {
                (try? self.descriptors.checkSound($0, at: self.unixTime, slack: DescriptorStore.clockTolerance)) != nil
            }
            guard list.round > lists.used?.list.round ?? 0, (places.count - found.count) * 4 <= list.hashes.count else {
                return then()
            }
            guard leavesEnough(list, found) else {
                // If this node has held descriptors back, the list may do with those that another node sends.
                if isWhole {
                    log.notice("a list that names few nodes is not used")
                    lists.offers.drop(digest)
                }
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

    /// Whether `list`, with the descriptors `found` for it, leaves enough of the network known, if enough is known now.
    ///
    /// A list from the first minutes of a network names only the nodes present then, and no voter demands newer
    /// descriptors.
    private func leavesEnough(_ list: DescriptorList, _ found: [SignedDescriptor]) -> Bool {
        guard coverage(of: descriptors, down: rounds.down).isEnough else { return true }
        var after = descriptors
        after.use(list, ListSchedule(epoch: network.epochSeconds))
        for signed in found { _ = after.hear(signed, from: nil, operators: trust.operatorCount, at: unixTime) }
        return coverage(of: after, down: rounds.down).isEnough
    }

    /// Asks for the descriptors of the list in use that no node has sent yet.
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

    /// Asks a node for the descriptors at `places` of a list; `then` gets the ones that arrive and verify.
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
                // Each one once: a repeated one would count for a missing one.
                var seen: Set<Bytes32> = []
                return found.filter {
                    wanted.contains($0.digest) && seen.insert($0.digest).inserted && $0.isAuthentic(network: id)
                }
            } completion: {
                then($0)
            }
        }
    }

    /// Asks nodes of other operators which list they have, while a list waits.
    ///
    /// It asks the guards and, after a while, also a node of the network file, which learns this machine's address.
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

    /// Draws a node of the network file that could confirm a waiting list, or any such node if the file has none.
    private func drawStranger(notOf nodes: [NodeID]) -> NodeID? {
        let reachable = bootstrap
        let known = reachable + descriptors.all.map(\.descriptor.node).filter(mayLink)
        let strangers = known.filter { mayConfirm($0) && !nodes.contains($0) }
        let ofFile = strangers.filter(reachable.contains)
        return (ofFile.isEmpty ? strangers : ofFile).randomElement(using: &random)
    }

    /// Whether the node could confirm a waiting list.
    private func mayConfirm(_ node: NodeID) -> Bool {
        trust.chain.snapshot.isStaked(node) && lists.offers.concern(owner(of: node))
    }

    // MARK: Versions that no list names

    /// The hops that could not be used and that have a version that no list names.
    ///
    /// Nodes of other operators are to be asked for these versions now.
    func takeDoubtful() -> [NodeID] { doubts.takeDoubtful(descriptors, at: now, using: &random) }

    /// Whom to ask for the versions of `nodes`: about each, nodes of different operators, one more than have to agree.
    ///
    /// A node is not asked about itself or its own operator's nodes, unless there is no other operator: its word does
    /// not count. One of `nodes` is asked about the others if there are too few besides: where most of a small network
    /// has restarted, there are.
    func witnesses(of nodes: [NodeID]) -> [(node: Descriptor, of: [NodeID])] {
        let candidates = proxies.shuffled(using: &random)
        let ordered = candidates.filter { !nodes.contains($0.id) } + candidates.filter { nodes.contains($0.id) }
        var lacking = nodes.map { (node: $0, owner: owner(of: $0), count: DescriptorStore.vouchers + 1) }
        var owners: Set<Bytes32> = []
        var found: [(node: Descriptor, of: [NodeID])] = []
        for witness in ordered where !owners.contains(witness.operatorID) {
            let places = lacking.indices.filter { place in
                lacking[place].count > 0 && lacking[place].node != witness.id
                    && (lacking[place].owner != witness.operatorID || trust.operatorCount < 2)
            }
            guard !places.isEmpty, let descriptor = descriptor(of: witness.id) else { continue }
            owners.insert(witness.operatorID)
            for place in places { lacking[place].count -= 1 }
            found.append((descriptor, places.map { lacking[$0].node }))
        }
        return found
    }

    /// Takes the descriptor of `node` that `witness` sent.
    func heard(_ bytes: [UInt8], of node: NodeID, from witness: NodeID) {
        guard let signed = try? SignedDescriptor(decoding: bytes.rawSpan), signed.descriptor.node == node,
            (try? descriptors.isNews(signed, at: unixTime)) == true, signed.isAuthentic(network: network.id)
        else { return }
        if descriptors.hear(signed, from: self.witness(witness), operators: trust.operatorCount, at: unixTime) {
            changed()
        }
    }

    /// Asks nodes of other operators for changed descriptors over direct links.
    ///
    /// They learn this machine's address, so this is only for a client that cannot ask over a path, for example if all
    /// nodes have restarted. No hop of a path can cause that.
    func vouchOverLinks() {
        var owners: Set<Bytes32> = []
        let others = guards.primaries.map(\.node) + bootstrap.shuffled(using: &random)
        for node in others where owners.count <= DescriptorStore.vouchers {
            guard let owner = witness(node), owners.insert(owner).inserted else { continue }
            links.link(to: node, at: addresses(of: node), limit: PathPool.linkLimit) { [weak self] link in
                guard let self, let link else { return }
                fetchDescriptors(link, from: node) { [weak self] isGood in if isGood { self?.changed() } }
            }
        }
    }
}
