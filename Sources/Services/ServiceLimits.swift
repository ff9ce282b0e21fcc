internal import Swarm

/// Every number of a service's descriptor that is a rule of the protocol (protocol.md, section 14.4).
public enum ServiceLimits {
    /// The length of a descriptor's item.
    public static let descriptorSize = 4_096
    /// How many client entries a descriptor has, used or not.
    public static let clients = 32
    /// The most introduction points of a descriptor.
    public static let introductionPoints = 6
    /// The first counter of a new `created` is drawn below this.
    public static let counterStart: UInt8 = 16
    /// How far ahead of network time `created` may be, in minutes.
    public static let ahead = SwarmLimits.copyAhead
    /// How far ahead of network time a stamp in a replica's refusal may be for the service to continue from it, in
    /// minutes.
    ///
    /// The next version is at most ten minutes later, so replicas still store it.
    public static let leadAhead = SwarmLimits.storeWindow - SwarmLimits.rangeMinutes
    /// The length of a period in seconds.
    public static let periodSeconds: UInt32 = 43_200
    /// The most descriptors of an answer to a look-up.
    public static let descriptorsOfAnswer = 2
    /// The longest answer to a look-up that is read, in bytes: status, count, and the descriptors with their lengths.
    public static let longestAnswer = 2 + descriptorsOfAnswer * (4 + descriptorSize)
}
