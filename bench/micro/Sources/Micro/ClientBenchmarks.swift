internal import Onion
internal import OnionCrypto
internal import Wire

/// The client's work for a packet that it sends over three hops, the link's header left out.
func clientSeal(_ meter: inout Meter, _ suite: Suite) {
    var ready = Chain(suite).path()
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    while meter.wantsMore {
        meter.measure {
            for number in 0..<PacketArea.count {
                var packet = packets.packet(number, size)
                guard ready.client.seal(&packet, now: start) != nil else { fail("sealed") }
            }
            return PacketArea.count
        }
    }
}

/// The client's work for a packet that comes over three hops, the link's header left out.
func clientOpen(_ meter: inout Meter, _ suite: Suite) {
    let chain = Chain(suite)
    var ready = chain.path()
    guard let path = chain.terminal else { fail("no path") }
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    while meter.wantsMore {
        for number in 0..<PacketArea.count {
            var packet = packets.packet(number, size)
            guard case .send = chain.nodes[2].table.sealAtTerminal(path, &packet, now: start).verdict else {
                fail("sealed")
            }
            for index in [1, 0] {
                let node = chain.nodes[index]
                guard
                    case .backward(let place) = node.table.find(link: UInt32(index + 1), pathID: packet.pathID),
                    case .send = node.table.backward(place, &packet, now: start)
                else { fail("relayed") }
            }
        }
        meter.measure {
            for number in 0..<PacketArea.count {
                var packet = packets.packet(number, size)
                guard case .packet = ready.client.open(&packet, now: start) else { fail("opened") }
            }
            return PacketArea.count
        }
    }
}

/// The client's work before a BUILD goes out.
func buildClient(_ meter: inout Meter, _ suite: Suite) {
    let chain = Chain(suite)
    while meter.wantsMore {
        meter.measure {
            let builder = chain.builder()
            guard builder.records.count == BuildMessage.recordsSize else { fail("built") }
            return 1
        }
    }
}

/// What a hop does for a BUILD that goes on and for its answer; the hops behind it answer with random bytes, which cost it
/// the same.
func buildHop(_ meter: inout Meter, _ suite: Suite) {
    let chain = Chain(suite)
    let node = chain.nodes[0]
    let later = SecureRandom.bytes(BuildMessage.replyRecordsSize)
    while meter.wantsMore {
        let records = chain.builder().records
        var entered: PathHandle?
        meter.measure {
            guard
                case .onward(_, _, let keys, let reply) = node.responder.open(
                    records.rawSpan, from: 0, time: wallClock, now: start),
                let path = try? node.table.insert(
                    keys, previous: PathNeighbour(link: 0, pathID: 5), nextLink: 1, linkLimit: .max, now: start),
                node.table.connect(path, nextPathID: 9), let answer = reply.wrap(later.rawSpan),
                answer.count == BuildMessage.replyRecordsSize
            else { fail("built") }
            entered = path
            return 1
        }
        if let entered { _ = node.table.remove(entered) }
    }
}

/// The client's work for the answer to a BUILD.
func buildFinish(_ meter: inout Meter, _ suite: Suite) {
    let chain = Chain(suite)
    while meter.wantsMore {
        let builder = chain.builder()
        let answer = chain.answer(0, builder.records, from: 5)
        let message = BuildMessage.encode(pathID: answer.pathID, answer.records)
        var waiting: PathBuilder? = consume builder
        meter.measure {
            guard let builder = waiting.take(),
                case .built(let path, _) = builder.receive(message.rawSpan, now: start), path.hopCount == Chain.hops
            else { fail("built") }
            return 1
        }
    }
}
