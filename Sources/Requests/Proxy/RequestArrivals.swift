public import Link
public import Wire

/// The requests that have not come whole, on streams of sessions: what they hold in memory, by link and in it by session.
///
/// The bytes count in units of 4 KiB. A session may hold as many as its pending requests may have. Where all is used up,
/// the link with most loses a stream, of its session with most the oldest.
public struct RequestArrivals {
    typealias Source = RequestProxy.Source

    private var places: RequestPlaces<UInt64>
    private var streams: [UInt64: (source: Source, places: Int)] = [:]
    /// The streams of each session, from the oldest on.
    private var ofSource: [Source: [UInt64]] = [:]
    /// How many streams were lost.
    public private(set) var lost = 0

    /// No requests.
    public init() {
        places = RequestPlaces(RequestLimits.arrivalPlaces, most: RequestLimits.arrivalPlacesOfSession)
    }

    /// How many streams hold something.
    public var count: Int { streams.count }
    /// How many bytes they may hold, in whole units.
    public var bytes: Int { places.count * RequestLimits.arrivalPlace }

    /// The stream `number` of a session over `link` holds so many bytes by now; returns the streams to reset, which may
    /// be this one.
    ///
    /// Numbers are not used twice, and nothing is held for the lost ones any more.
    public mutating func hold(
        _ number: UInt64, _ bytes: Int, of session: UInt64, over link: LinkSource, now: Instant
    ) -> [UInt64] {
        let source = Source(origin: .link(link), session: session)
        let isNew = streams[number] == nil
        if isNew {
            streams[number] = (source, 0)
            ofSource[source, default: []].append(number)
        }
        var losers: [UInt64] = []
        let wanted = RequestLimits.places(bytes, of: RequestLimits.arrivalPlace)
        while let held = streams[number]?.places, held < wanted {
            var loser: UInt64?
            switch places.take(wanted - held, for: source, now) {
            case .granted: streams[number]?.places = wanted
            case .makeRoom(let other): loser = ofSource[other]?.first ?? number
            case .replace(let other): loser = streams[other] == nil ? nil : other
            case .full: loser = number
            }
            guard let loser else { continue }
            end(loser)
            lost += 1
            losers.append(loser)
        }
        if isNew, streams[number] != nil { places.entered(number, of: source, now) { streams[$0] != nil } }
        return losers
    }

    /// A stream has brought all of its request, or is over.
    public mutating func end(_ number: UInt64) {
        guard let stream = streams.removeValue(forKey: number) else { return }
        places.release(stream.places, of: stream.source)
        ofSource[stream.source]?.removeAll { $0 == number }
        if ofSource[stream.source]?.isEmpty == true { ofSource[stream.source] = nil }
    }
}
