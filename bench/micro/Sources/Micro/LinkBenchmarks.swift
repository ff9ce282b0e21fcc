internal import Link
internal import OnionCrypto
internal import Wire

/// Sealing the header of a packet.
func linkSeal(_ meter: inout Meter, _ suite: Suite) {
    let link = LinkPair(suite)
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    while meter.wantsMore {
        meter.measure {
            for number in 0..<PacketArea.count {
                var packet = packets.packet(number, size)
                guard link.near.sender.sealHeader(&packet) else { fail("header sealed") }
            }
            return PacketArea.count
        }
    }
}

/// Opening the header of a packet, and committing it.
func linkOpen(_ meter: inout Meter, _ suite: Suite) {
    var link = LinkPair(suite)
    var area = PacketArea(size: Packet.defaultSize)
    let size = area.size
    var packets = area.span
    while meter.wantsMore {
        for number in 0..<PacketArea.count {
            var packet = packets.packet(number, size)
            guard link.near.sender.sealHeader(&packet) else { fail("header sealed") }
        }
        meter.measure {
            for number in 0..<PacketArea.count {
                var packet = packets.packet(number, size)
                let (index, counter) = (packet.receiverIndex, packet.linkCounter)
                guard link.far.receiver.openHeader(&packet) == nil,
                    link.far.receiver.commit(index: index, counter: counter, now: start) != .duplicate
                else { fail("opened") }
            }
            return PacketArea.count
        }
    }
}
