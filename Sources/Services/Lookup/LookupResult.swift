internal import Swarm
public import Wire

/// A descriptor that a look-up has found.
public struct FoundDescriptor: Hashable, Sendable {
    /// What a client needs to reach the instance.
    public let descriptor: ServiceDescriptor
    /// The period whose box it was in.
    public let period: TimePeriod
    /// The instance's name in that box.
    let name: Bytes16
    /// Orders it among the descriptors of the same instance and period.
    public let version: DescriptorVersion
    /// The digest of what it says, which is the same in both periods.
    let digest: Bytes32
    /// The minute from which on it has expired.
    let expires: UInt32

    /// Whether its life has ended at network time `now`.
    func isExpired(at now: UnixTime) -> Bool { now.minutes >= expires }

    /// Whether a service that is well would have published a newer one by `now`.
    func isStale(at now: UnixTime) -> Bool { now.minutes.after(version.stamp.created) > LookupTimes.freshMinutes }

    /// Whether `other`, of the same instance, counts before this one.
    ///
    /// Versions of one period are ordered. Between periods only the time at which they were made counts.
    func isBehind(_ other: FoundDescriptor) -> Bool {
        period == other.period
            ? version.isBehind(other.version) : version.stamp.created < other.version.stamp.created
    }
}

/// Why a look-up has found no descriptor.
public enum LookupFailure: Error, Hashable, Sendable {
    /// The network has no store, or no replica.
    case noStore
    /// Replicas have answered that they have none, as many as are asked or three at least.
    case absent
    /// No answer had a valid descriptor; this was the first fault.
    case invalid(DescriptorFault)
    /// The service is restricted, and the client has no key for it.
    case clientKeyMissing
    /// The service is restricted, and it has no entry for any of the client's keys.
    case clientKeyWrong
    /// Only versions were found that the client could not use before.
    case unchanged
    /// Fewer than three replicas have answered.
    case noAnswer
    /// No question could be sent: this client had no path or no room for it, or knows no replica's key.
    case notAsked
    /// Too many look-ups are under way.
    case tooMany
    /// The look-up was ended before it had a result.
    case ended

    /// Whether it is about the service, so that another look-up soon will hardly end otherwise.
    var isLasting: Bool {
        switch self {
        case .absent, .invalid, .clientKeyMissing, .clientKeyWrong: true
        case .noStore, .unchanged, .noAnswer, .notAsked, .tooMany, .ended: false
        }
    }
}

/// When a look-up acts (protocol.md, section 14.6).
enum LookupTimes {
    /// How long a look-up may take.
    static let most = TimeSpan.seconds(10)
    /// How many replicas are asked; with a patience of 1.5 s all of them within the time, even if none answers.
    static let tries = 6
    /// How many empty answers are as good as a refusal.
    static let emptyAnswers = LookupTally.emptyAnswers
    /// The age up to which a descriptor is the newest in all likelihood: a renewal after 70 minutes, ten minutes of
    /// `created`, and ten for retries.
    static let freshMinutes: UInt32 = 90
    /// How long a version that could not be used ends no look-up.
    static let useless = TimeSpan.seconds(60)
    /// The pause after a look-up that failed, and the longest one where failures follow each other.
    static let firstPause = TimeSpan.seconds(5)
    static let longestPause = TimeSpan.seconds(120)
}
