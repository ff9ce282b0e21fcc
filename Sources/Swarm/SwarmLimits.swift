/// The numbers of the swarm store that are rules of the protocol: sizes, times and shares (protocol.md, section 12).
///
/// Times are in minutes unless the name says otherwise; sizes are in bytes.
public enum SwarmLimits {
    /// The sizes of whole items; an item's *size class* is the index.
    public static let itemSizes = [2_048, 4_096, 8_192, 16_384, 32_768, 65_536]
    /// The longest item in bytes, header and signature included.
    public static let longestItem = 65_536
    /// The unit of `created`, and the length of a range.
    public static let rangeMinutes: UInt32 = 10
    /// How many ranges a day has.
    public static let rangesPerDay: UInt32 = 144
    /// The minutes of a day.
    public static let dayMinutes: UInt32 = 1_440

    /// How far `created` may be from a coordinator's clock.
    public static let storeWindow: UInt32 = 30
    /// How far ahead of a replica's clock `created` may be.
    public static let copyAhead: UInt32 = 40
    /// The least time from the end of a purge to the `created` of its item.
    public static let purgeDistance: UInt32 = 60
    /// The least time since the end of a range that is compared.
    public static let settleMinutes: UInt32 = 10
    /// The least remaining life of items that are compared.
    public static let compareLife: UInt32 = 20
    /// How far the cut of a comparison may be from the clock of the answering node.
    public static let cutWindow: UInt32 = 20
    /// How long a former replica keeps a shard that another replica has completely, but no majority has.
    public static let leaveMinutes: UInt32 = 72 * 60
    /// How long a former replica may take part; also how long it keeps a shard that no other replica has completely.
    public static let formerMinutes: UInt32 = 14 * 1_440
    /// How long a stand-in waits before it pulls history.
    public static let standInMinutes: UInt32 = 180
    /// The least age of a box that may use the whole admission.
    public static let knownBoxMinutes: UInt32 = 7 * 1_440

    /// The most that one step forward of the wall clock counts, in milliseconds.
    public static let clockStep: UInt64 = 86_400_000

    /// The most write keys of a grant.
    public static let grantKeys = 8
    /// The most items of kind 4 in a box, tombstones included.
    public static let boxMessages = 8_192
    /// How much a tombstone counts in a box's quota.
    public static let tombstoneShare = 256
    /// The most items of kind 5 in a box.
    public static let boxContacts = 256
    /// The most tombstones of kind 5 in a box.
    public static let boxContactTombstones = 1_024
    /// The most names of kind 1 in a box.
    public static let boxDescriptors = 8
    /// The size of a node's table of items of kind 1, of which three quarters are used.
    public static let descriptors = 16_384
    /// A coordinator admits its quota divided by this in a day.
    public static let admissionShare = 196
    /// A box that holds what a coordinator admits for its shard, divided by this, is large.
    ///
    /// A large box gets no further room while the admission is scarce.
    public static let boxAdmission = 64
    /// Items are accepted until this many hundredths of the quota are used; tombstones until all of it is.
    public static let copyFill = 98

    /// How much an entry counts at least in a node's quota, and in the share of the peer that brings it.
    public static let leastRoom = 1_024

    /// How many snapshots' maps are kept.
    public static let maps = 3
    /// The most shards of a network.
    public static let shards = 65_536
    /// The most replicas of a shard.
    public static let swarmSize = 15

    /// The most ids in one DELETE.
    public static let deletions = 64
    /// The most offsets in one FETCH.
    public static let fetchOffsets = 16
    /// The most items of one LOOKUP.
    public static let lookups = 8
    /// The most entries of one LIST.
    public static let listEntries = 3_500
    /// The longest result of a request: as much as the largest class of a sealed answer holds.
    public static let longestResult = 65_787
    /// Reading for clients is counted in units of so many entries, and so many bytes of items count as one entry.
    public static let readUnit = 64, readBytes = 1_024
    /// How many entries the verification of a deletion's proof counts as.
    public static let readProof = 16
    /// The units that are read in a second for all clients together: about a third of a thread's time.
    public static let readUnits = 1_000
    /// The units that are read at once after a quiet time.
    public static let readBurst = 2_000
    /// The most subscriptions of a node.
    public static let subscriptions = 20_000
    /// How many pushes of a subscription may be under way.
    public static let pushWindow = 4
    /// The most units of 4 KiB that pushes may have under way: 64 MiB.
    public static let pushUnits = 16_384
    /// The most of these units for the subscriptions of one link.
    public static let linkPushUnits = 2_048
    /// How long a push may be under way, in milliseconds; its subscription is then ended.
    public static let pushPatience: UInt64 = 60_000

    /// The most copies in one REPLICATE.
    public static let replicateCopies = 64
    /// The longest body of REPLICATE in bytes.
    public static let replicateBytes = 139_264
    /// The most shards in one question of a comparison.
    public static let compareShards = 1_800
    /// The most ids in one answer of a comparison, and in one FETCH_COPIES.
    public static let compareIDs = 4_096
    /// The longest answer to FETCH_COPIES.
    public static let fetchBytes = 262_144

    /// The bytes of ids that a peer may get, and that are requested from it, in ten minutes.
    public static let idBytes: UInt64 = 262_144
    /// The bytes of work that a peer may cause at once, 64 MiB; they refill in ``workWindow``.
    public static let workBurst: UInt64 = 64 << 20
    /// The milliseconds in which an empty budget of work refills.
    public static let workWindow: UInt64 = 64_000
    /// How much work reading an entry's id for a peer counts as, in bytes.
    public static let workPerEntry = 64
    /// How many messages a second are checked again after the grant or purge of their box has changed.
    public static let sweepsPerSecond: UInt64 = 500
    /// The least number of such messages in one step.
    public static let sweepStep = 50
    /// How many entries are compared with their checksums in a second: 2 million within nine hours.
    public static let verifyStep = 64
    /// How much work each question of a comparison counts as, in bytes, beside what it has read, hashed and sent.
    public static let workPerQuestion = 4_096
    /// The most comparisons that a node drives at once.
    public static let exchanges = 16
    /// The longest duration of a comparison, in milliseconds.
    public static let exchangePatience: UInt64 = 300_000
    /// The most places for stores and deletions under way at a coordinator; each takes one place for every 16 KiB that
    /// it begins.
    public static let puts = 1_024
    /// The bytes of one place.
    public static let putPlace = 16 << 10
    /// Copies that a coordinator sends to other replicas for clients are counted in units of so many bytes.
    public static let putUnit = 4 << 10
    /// How many such units are sent in a second: half of the work that a replica does for one peer.
    ///
    /// The nodes that bring requests share them.
    public static let putUnits = 128
    /// How many such units may be sent at once after a quiet time.
    public static let putBurst = 512
}
