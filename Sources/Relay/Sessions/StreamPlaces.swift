internal import Link
internal import Wire

/// Whom a stream counts for in what all streams share: the source of its session's first path, and in it the session.
struct StreamShare: Hashable, Sendable {
    let source: LinkSource
    let session: ObjectIdentifier
}

/// What takes a place that it may have to give up.
protocol PlaceHolder: AnyObject {
    /// The place is another's: what it was for ends.
    func giveWay()
}

/// Places that streams of all sessions share: each source has a share of them, and in it each session.
///
/// With no place left, the source with the most gives one up to a source that has at least two fewer, or none: of its session with
/// the most, the place that was idle for longest.
final class StreamPlaces {
    /// Whether what the places stand for can be had once more, however many places there are.
    var hasRoom: () -> Bool
    private var places: SharedTable<LinkSource, ObjectIdentifier, ObjectIdentifier>
    private var holders: [ObjectIdentifier: any PlaceHolder] = [:]

    /// So many places; `hasRoom` says whether what they stand for can be had.
    init(limit: Int, hasRoom: @escaping () -> Bool = { true }) {
        places = SharedTable(capacity: limit, most: limit)
        self.hasRoom = hasRoom
    }

    /// How many are taken.
    var count: Int { places.count }

    /// Takes a place for `holder`, for which another may give way; false when there is none.
    func enter(_ holder: any PlaceHolder, for share: StreamShare) -> Bool {
        let insertion = places.insert(
            ObjectIdentifier(holder), for: share.session, in: share.source, isFull: !hasRoom())
        if case .refused = insertion { return false }
        holders[ObjectIdentifier(holder)] = holder
        if case .replaced(let other) = insertion { holders.removeValue(forKey: other)?.giveWay() }
        return true
    }

    /// Notes that the holder is in use; nothing happens when it has no place.
    func noteActivity(of holder: any PlaceHolder) { places.setBusy(ObjectIdentifier(holder), false) }

    /// Gives the place back; nothing happens when it has none.
    func leave(_ holder: any PlaceHolder) {
        places.remove(ObjectIdentifier(holder))
        holders[ObjectIdentifier(holder)] = nil
    }
}
