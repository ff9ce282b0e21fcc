public import Link
public import Wire

/// The memory of requests that have not arrived whole, on streams of sessions; it is shared by link and by session.
///
/// Bytes count in units of 4 KiB. A session may hold as many as its pending requests may have. When all memory is in
/// use, the link with the most loses a stream: the oldest stream of its session with the most.
public struct RequestArrivals {
    typealias Source = RequestProxy.Source

    private var places: RequestPlaces<UInt64>
    private var streams: [UInt64: (source: Source, places: Int)] = [:]
    /// The streams of each session, oldest first.
    private var ofSource: [Source: [UInt64]] = [:]
    /// The number of streams that lost their memory.
    public private(set) var lost = 0

    /// No requests.
    public init() {
        places = RequestPlaces(RequestLimits.arrivalPlaces, most: RequestLimits.arrivalPlacesOfSession)
    }

    /// The number of streams that hold memory.
    public var count: Int { streams.count }
    /// The bytes that the streams hold, in whole units.
    public var bytes: Int { places.count * RequestLimits.arrivalPlace }

    /// Notes that the stream `number` of a session over `link` holds `bytes` bytes in all; returns the streams to
    /// reset.
    ///
    /// The stream itself may be among them. Nothing is counted any more for the returned streams. A number must not be
    /// used again.
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

    /// A stream's request has arrived whole, or the stream has ended.
    public mutating func end(_ number: UInt64) {
        guard let stream = streams.removeValue(forKey: number) else { return }
        places.release(stream.places, of: stream.source)
        ofSource[stream.source]?.removeAll { $0 == number }
        if ofSource[stream.source]?.isEmpty == true { ofSource[stream.source] = nil }
    }
}
