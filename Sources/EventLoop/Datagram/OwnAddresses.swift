import Synchronization

/// An address of this machine, in network order.
struct OwnAddress: Equatable, Sendable {
    var high: UInt64 = 0
    var low: UInt64 = 0
}

/// The own addresses of all sockets of a group.
///
/// They have the same numbers in all sockets, since a ``SocketAddress`` that one worker has received may be another
/// worker's destination. Each socket has a copy, and asks here only for an address or a number that is not in it.
final class OwnAddresses: Sendable {
    /// How many own addresses are distinguished; for others the kernel chooses an answer's source address.
    static let limit = Int(UInt8.max)

    private let all = Mutex<[OwnAddress]>([])

    /// Enters an address, if it is new and there is room.
    func add(_ address: OwnAddress) {
        all.withLock { all in
            if all.count < Self.limit, !all.contains(address) { all.append(address) }
        }
    }

    /// The addresses from place `count` on.
    func after(_ count: Int) -> [OwnAddress] { all.withLock { Array($0.dropFirst(count)) } }
}
