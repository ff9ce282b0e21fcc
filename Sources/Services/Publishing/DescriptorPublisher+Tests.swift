internal import Swarm
internal import Wire

/// A service asks the replicas for its own descriptor as a stranger would.
extension DescriptorPublisher {
    /// What a replica's answer to a test shows.
    private enum Finding {
        /// The newest version.
        case newest
        /// An older version, or none.
        case missing
        /// A newer version: one of this process that it has forgotten, or one of a process with the same secrets.
        case newer(DescriptorVersion, isOwn: Bool)
        /// Nothing: no answer, no time, or other instances alone.
        case unclear
    }

    /// Asks the replicas whose test is due, in the words of a client.
    mutating func test(_ period: TimePeriod, _ now: Instant, _ actions: inout [Action]) {
        guard let publication = publications[period], publication.round == nil, let swarm = publication.swarm else {
            return
        }
        guard let question = Self.question(swarm.box) else { return }
        for replica in publications[period]?.tests.next(now, &random) ?? [] {
            let number = number()
            questions[number] = .test(period, replica)
            actions.append(
                .test(ReplicaQuestion(number: number, replica: replica, swarm: swarm, request: question.request)))
        }
    }

    private static func question(_ box: Bytes32) -> LookupQuestion? {
        LookupQuestion(box: box, kind: .descriptor, most: ServiceLimits.descriptorsOfAnswer)
    }

    /// Judges the answer to a test.
    mutating func tested(
        _ period: TimePeriod, _ replica: NodeID, _ reply: ReplicaReply, _ now: Instant, _ time: UnixTime,
        _ actions: inout [Action]
    ) {
        guard let publication = publications[period], publication.round == nil, let item = publication.item else {
            return
        }
        switch finding(reply, publication, item, time) {
        case .newest:
            publications[period]?.tests.showed(replica)
            publications[period]?.state.hiding.remove(replica)
        case .missing:
            publications[period]?.tests.hid(replica)
            if publication.state.holders.contains(replica) { publications[period]?.state.hiding.insert(replica) }
            repair(period, now)
        case .newer(let version, let isOwn):
            followed(period, version, isOwn: isOwn, now, time, &actions)
        case .unclear: break
        }
    }

    private func finding(
        _ reply: ReplicaReply, _ publication: Publication, _ item: StoredItem, _ time: UnixTime
    ) -> Finding {
        guard case .answer(let bytes) = reply, let question = Self.question(item.header.box) else { return .unclear }
        guard bytes.count <= ServiceLimits.longestAnswer,
            let answer = try? StoreAnswer(decoding: bytes.rawSpan, to: .lookup)
        else { return .missing }
        switch answer {
        // It may not be a replica by its newest snapshot, or have no time now.
        case .refused(.notReplica), .refused(.busy): return .unclear
        case .refused, .stored, .deleted, .listed: return .missing
        case .items: break
        }
        let items = question.items(in: answer, network: network, minute: time.minutes)
        guard let own = items.first(where: { $0.version?.name == publication.key.name }) else {
            // A replica draws among the instances.
            return items.count < ServiceLimits.descriptorsOfAnswer ? .missing : .unclear
        }
        if own.id == item.id { return .newest }
        guard let found = own.descriptorVersion, let newest = item.descriptorVersion else { return .missing }
        // Each process draws a signing key for each period.
        let isOwn = own.version?.certificate?.key == item.version?.certificate?.key
        return newest.isBehind(found) ? .newer(found, isOwn: isOwn) : .missing
    }

    /// Publishes again if no majority shows the descriptor; replicas that hide it cannot cause more than one in ten
    /// minutes.
    private mutating func repair(_ period: TimePeriod, _ now: Instant) {
        guard let publication = publications[period], let swarm = publication.swarm,
            publication.tests.missing.count >= swarm.majority
        else { return }
        publishAgain(period, now)
    }

    private mutating func publishAgain(_ period: TimePeriod, _ now: Instant) {
        guard publications[period]?.tests.repaired.map({ now - $0 >= ReplicaTests.repairs }) ?? true else { return }
        publications[period]?.tests.repaired = now
        hasten([period], now)
    }

    /// Goes on from a newer version.
    ///
    /// It is authentic. One that a clock ahead had made, and that somebody has kept, is this process's own. Another one was
    /// made by a holder of the service's key. It may be left from before a restart, but not if it was made later than any
    /// version could be dated then.
    private mutating func followed(
        _ period: TimePeriod, _ version: DescriptorVersion, isOwn: Bool, _ now: Instant, _ time: UnixTime,
        _ actions: inout [Action]
    ) {
        if !toldOfCopy, !isOwn, version.stamp.created.after(start(now, time)) > ServiceLimits.ahead {
            toldOfCopy = true
            actions.append(.copied)
        }
        // Two processes with the same secrets would otherwise publish against each other all the time.
        if publications[period]?.stamps.goOn(from: version.stamp, at: time) == true { publishAgain(period, now) }
    }

    /// When this process began, in minutes since 1970: the time that it has run before network time.
    ///
    /// So it is right however wrong network time was then. It is too late by the time that the machine has slept: then
    /// another process is found later.
    private func start(_ now: Instant, _ time: UnixTime) -> UInt32 {
        let ran = began.map { UInt32(clamping: (now - $0).nanoseconds / 60_000_000_000) } ?? 0
        return time.minutes.after(ran)
    }
}

extension StoredItem {
    /// Which version of its name a descriptor is.
    var descriptorVersion: DescriptorVersion? {
        guard header.kind == .descriptor, let version else { return nil }
        let stamp = DescriptorStamp(created: header.created, counter: version.counter)
        return DescriptorVersion(stamp: stamp, id: id)
    }
}
