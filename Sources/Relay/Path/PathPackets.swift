internal import Link
internal import Links
internal import Onion
internal import Wire

/// The packet path of paths: what each worker does with a batch of data packets.
enum PathPackets {
    /// Consecutive packets of a batch that leave on the same link.
    private struct Onward {
        var link: UInt32 = 0
        var numbers = 0..<0

        /// Adds packet `number`.
        ///
        /// If it does not follow the others on the same link, they are sent first.
        @inline(__always)
        mutating func add(_ number: Int, on link: UInt32, _ packets: inout ReceivedPackets, _ table: inout LinkTable) {
            if number == numbers.upperBound, link == self.link {
                numbers = numbers.lowerBound..<number + 1
            } else {
                send(&packets, &table)
                self.link = link
                numbers = number..<number + 1
            }
        }

        /// Sends the packets on their link.
        func send(_ packets: inout ReceivedPackets, _ table: inout LinkTable) {
            if !numbers.isEmpty { table.forward(&packets, numbers, on: LinkID(rawValue: link)) }
        }
    }

    /// A packet whose path ends here, with its layer removed.
    struct Delivery {
        let index: Int
        let path: PathHandle
        let number: UInt64
    }

    /// Forwards packets from `next` to the first one whose path ends here.
    ///
    /// Returns nil after the last packet.
    ///
    /// It has exclusive access to the tables. One access for each packet would cost more than all other work on the
    /// packet.
    static func pass(
        _ packets: inout ReceivedPackets, _ table: inout LinkTable, _ halves: inout PathHalves,
        _ drops: inout [UInt64], from next: inout Int, now: Instant
    ) -> Delivery? {
        var onward = Onward()
        defer { onward.send(&packets, &table) }
        while next < packets.count {
            let index = next
            next += 1
            let arrival = packets[index]
            switch halves.find(link: arrival.link.rawValue, pathID: arrival.pathID) {
            case .unknown: drops[Int(DropReason.unknownPath.rawValue)] += 1
            case .forward(let place):
                var packet = packets.packet(index)
                switch halves.forward(place, &packet, now: now) {
                case .send(let link, _): if table.commit(arrival) { onward.add(index, on: link, &packets, &table) }
                case .deliver(let path, let number):
                    guard table.commit(arrival) else { continue }
                    return Delivery(index: index, path: path, number: number)
                case .drop(let reason): drops[Int(reason.rawValue)] += 1
                }
            case .backward(let place):
                guard table.commit(arrival) else { continue }
                var packet = packets.packet(index)
                switch halves.backward(place, &packet, now: now) {
                case .send(let link, _): onward.add(index, on: link, &packets, &table)
                case .drop(let reason): drops[Int(reason.rawValue)] += 1
                case .deliver: break
                }
            }
        }
        return nil
    }
}
