internal import Link
internal import Wire

/// The share that a stream counts for in tables of all streams: the node or the network of addresses that its session's
/// first path came from, and within it the session.
struct StreamShare: Hashable, Sendable {
    let source: LinkSource
    let session: ObjectIdentifier

    var group: LinkSource.Group { source.group }
}

/// The holder of a place that it may have to give up.
protocol PlaceHolder: AnyObject {
    /// Ends the holder's work, because its place went to another holder.
    func giveWay()
}

/// Places that the streams of all sessions share: by source, and within a source by session.
///
/// If no place is left, the source with the most gives one up to a source that has none, or at least two fewer. Its
/// session with the most loses the place that was idle for longest.
final class StreamPlaces {
    /// Whether another place can be used even if places are free; for example whether the process has a free
    /// descriptor.
    var hasRoom: () -> Bool
    private var places: SharedTable<LinkSource.Group, ObjectIdentifier, ObjectIdentifier>
    private var holders: [ObjectIdentifier: any PlaceHolder] = [:]

    /// A table of `limit` places; a place is only given while `hasRoom` returns true, or another holder gives way.
    init(limit: Int, hasRoom: @escaping () -> Bool = { true }) {
        places = SharedTable(capacity: limit, most: limit)
        self.hasRoom = hasRoom
    }

    /// The number of taken places.
    var count: Int { places.count }

    /// Takes a place for `holder`, for which another holder may give way; returns false if there is none.
    func enter(_ holder: any PlaceHolder, for share: StreamShare) -> Bool {
        let insertion = places.insert(
            ObjectIdentifier(holder), for: share.session, in: share.group, isFull: !hasRoom())
        if case .refused = insertion { return false }
        holders[ObjectIdentifier(holder)] = holder
        if case .replaced(let other) = insertion { holders.removeValue(forKey: other)?.giveWay() }
        return true
    }

    /// Notes that the holder is in use; has no effect if it has no place.
    func noteActivity(of holder: any PlaceHolder) { places.setBusy(ObjectIdentifier(holder), false) }

    /// Gives the place back; has no effect if the holder has none.
    func leave(_ holder: any PlaceHolder) {
        places.remove(ObjectIdentifier(holder))
        holders[ObjectIdentifier(holder)] = nil
    }
}
