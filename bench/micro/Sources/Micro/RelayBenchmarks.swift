internal import Link
internal import Onion
internal import OnionCrypto
internal import Wire

/// A relay's work for a packet towards the exit between receiving and sending: open the link's header, find the path, take
/// the layer off, commit, seal the next link's header.
func relayForward(_ meter: inout Meter, _ suite: Suite) {
    let chain = Chain(suite)
    let relay = chain.nodes[0]
    var ready = chain.path()
    var before = LinkPair(suite)
    let after = LinkPair(suite)
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    use(&relay.table) { table in
        while meter.wantsMore {
            for number in 0..<PacketArea.count {
                var packet = packets.packet(number, size)
                packet.pathID = ready.pathID
                guard ready.client.seal(&packet, now: start) != nil else { fail("sealed") }
                guard before.near.sender.sealHeader(&packet) else { fail("header sealed") }
            }
            meter.measure {
                for number in 0..<PacketArea.count {
                    var packet = packets.packet(number, size)
                    let (index, counter) = (packet.receiverIndex, packet.linkCounter)
                    guard before.far.receiver.openHeader(&packet) == nil else { fail("header") }
                    guard case .forward(let place) = table.find(link: 0, pathID: packet.pathID),
                        case .send = table.forward(place, &packet, now: start),
                        before.far.receiver.commit(index: index, counter: counter, now: start) != .duplicate
                    else { fail("relayed") }
                    guard after.near.sender.sealHeader(&packet) else { fail("header sealed") }
                }
                return PacketArea.count
            }
        }
    }
}

/// The same for a packet towards the client.
func relayBackward(_ meter: inout Meter, _ suite: Suite) {
    let relay = Node(1)
    let (path, backwardID) = enterPath(relay, suite, from: 0, to: 1)
    guard relay.table.connect(path, nextPathID: 9) else { fail("connected") }
    let before = LinkPair(suite)
    var after = LinkPair(suite)
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    use(&relay.table) { table in
        while meter.wantsMore {
            for number in 0..<PacketArea.count {
                var packet = packets.packet(number, size)
                packet.pathID = backwardID
                guard after.far.sender.sealHeader(&packet) else { fail("header sealed") }
            }
            meter.measure {
                for number in 0..<PacketArea.count {
                    var packet = packets.packet(number, size)
                    let (index, counter) = (packet.receiverIndex, packet.linkCounter)
                    guard after.near.receiver.openHeader(&packet) == nil else { fail("header") }
                    guard case .backward(let place) = table.find(link: 1, pathID: packet.pathID),
                        after.near.receiver.commit(index: index, counter: counter, now: start) != .duplicate,
                        case .send = table.backward(place, &packet, now: start)
                    else { fail("relayed") }
                    guard before.near.sender.sealHeader(&packet) else { fail("header sealed") }
                }
                return PacketArea.count
            }
        }
    }
}

/// What the forwarding table alone does with a packet towards the exit.
func layerForward(_ meter: inout Meter, _ suite: Suite) {
    let chain = Chain(suite)
    let relay = chain.nodes[0]
    var ready = chain.path()
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    use(&relay.table) { table in
        while meter.wantsMore {
            for number in 0..<PacketArea.count {
                var packet = packets.packet(number, size)
                packet.pathID = ready.pathID
                guard ready.client.seal(&packet, now: start) != nil else { fail("sealed") }
            }
            meter.measure {
                for number in 0..<PacketArea.count {
                    var packet = packets.packet(number, size)
                    guard case .forward(let place) = table.find(link: 0, pathID: packet.pathID),
                        case .send = table.forward(place, &packet, now: start)
                    else { fail("relayed") }
                }
                return PacketArea.count
            }
        }
    }
}

/// What the forwarding table alone does with a packet towards the client.
func layerBackward(_ meter: inout Meter, _ suite: Suite) {
    backward(&meter, suite, paths: 1)
}

/// The same where the paths' keys are in no cache.
func spreadBackward(_ meter: inout Meter, _ suite: Suite) {
    backward(&meter, suite, paths: 100_000)
}

private func backward(_ meter: inout Meter, _ suite: Suite, paths: Int) {
    let relay = Node(1)
    var ids: [UInt64] = []
    for _ in 0..<paths {
        let (path, backwardID) = enterPath(relay, suite, from: 0, to: 1)
        guard relay.table.connect(path, nextPathID: 9) else { fail("connected") }
        ids.append(backwardID)
    }
    ids.shuffle()
    var next = 0
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    use(&relay.table) { table in
        while meter.wantsMore {
            for number in 0..<PacketArea.count {
                var packet = packets.packet(number, size)
                packet.pathID = ids[next]
                next = (next + 1) % ids.count
            }
            meter.measure {
                for number in 0..<PacketArea.count {
                    var packet = packets.packet(number, size)
                    guard case .backward(let place) = table.find(link: 1, pathID: packet.pathID),
                        case .send = table.backward(place, &packet, now: start)
                    else { fail("relayed") }
                }
                return PacketArea.count
            }
        }
    }
}

/// Finding one of `count` paths, each time another.
func find(_ meter: inout Meter, _ count: Int) {
    let relay = Node(1)
    var ids: [UInt64] = []
    ids.reserveCapacity(count)
    // One suite for all: the keys are not looked at, and these are the smallest.
    for _ in 0..<count { ids.append(enterPath(relay, .chacha20poly1305, from: 0, to: 1).backwardID) }
    ids.shuffle()
    var next = 0
    use(&relay.table) { table in
        while meter.wantsMore {
            meter.measure {
                for _ in 0..<4_096 {
                    guard case .backward = table.find(link: 1, pathID: ids[next]) else { fail("found") }
                    next += 1
                    if next == ids.count { next = 0 }
                }
                return 4_096
            }
        }
    }
}

/// The last hop of a path and its client, for what happens at the exit.
private func oneHop(_ suite: Suite) -> OneHop {
    let node = Node(1)
    let target = HopTarget(node: node.id, onionKey: node.onionKey, suite: suite)
    guard let builder = try? PathBuilder(hops: [target], network: networkID, time: wallClock) else { fail("no path") }
    let records = builder.records
    guard
        case .terminal(let keys, let reply, _) = node.responder.open(
            records.rawSpan, from: 0, time: wallClock, now: start),
        let path = try? node.table.insert(
            keys, previous: PathNeighbour(link: 0, pathID: 5), nextLink: nil, linkLimit: 1, now: start),
        let id = node.table.forwardID(of: path)
    else { fail("no path") }
    let message = BuildMessage.encode(pathID: id, reply.answer(.ready))
    guard case .built(let client, let pathID) = builder.receive(message.rawSpan, now: start) else { fail("no path") }
    return OneHop(node: node, path: path, client: client, pathID: pathID)
}

private struct OneHop: ~Copyable {
    let node: Node
    let path: PathHandle
    var client: ClientPath
    let pathID: UInt64
}

/// The terminal's work for a packet that comes.
func terminalOpen(_ meter: inout Meter, _ suite: Suite) {
    var ready = oneHop(suite)
    let node = ready.node
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    use(&node.table) { table in
        while meter.wantsMore {
            for number in 0..<PacketArea.count {
                var packet = packets.packet(number, size)
                packet.pathID = ready.pathID
                guard ready.client.seal(&packet, now: start) != nil else { fail("sealed") }
            }
            meter.measure {
                for number in 0..<PacketArea.count {
                    var packet = packets.packet(number, size)
                    guard case .forward(let place) = table.find(link: 0, pathID: packet.pathID),
                        case .deliver = table.forward(place, &packet, now: start)
                    else { fail("delivered") }
                }
                return PacketArea.count
            }
        }
    }
}

/// The terminal's work for a packet that it sends.
func terminalSeal(_ meter: inout Meter, _ suite: Suite) {
    let ready = oneHop(suite)
    let (node, path) = (ready.node, ready.path)
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    use(&node.table) { table in
        while meter.wantsMore {
            meter.measure {
                for number in 0..<PacketArea.count {
                    var packet = packets.packet(number, size)
                    guard case .send = table.sealAtTerminal(path, &packet, now: start).verdict else { fail("sealed") }
                }
                return PacketArea.count
            }
        }
    }
}

/// Enters a path between two links as the hop in the middle holds it.
func enterPath(_ relay: Node, _ suite: Suite, from: UInt32, to: UInt32) -> (path: PathHandle, backwardID: UInt64) {
    guard
        let path = try? relay.table.insert(
            HopKeys(secret: .random(), slot: 2, suite: suite), previous: PathNeighbour(link: from, pathID: 7), nextLink: to,
            linkLimit: .max, now: start),
        let id = relay.table.backwardID(of: path)
    else { fail("no room for a path") }
    return (path, id)
}
