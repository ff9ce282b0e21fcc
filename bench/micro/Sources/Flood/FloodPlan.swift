internal import CFlood
internal import Directory
internal import Glibc
internal import Link
internal import Wire

/// Ends the program with a message.
func fail(_ reason: String) -> Never {
    unsafe flood_say("Flood: \(reason)\n")
    exit(2)
}

/// What is sent.
enum FloodKind: String, CaseIterable {
    /// Clients' initiations with a wrong MAC.
    case garbage
    /// Clients' initiations with a right first MAC and no cookie; what comes back is not read.
    case forged
    /// Clients' initiations with a cookie, whose links are never confirmed.
    case initiations
    /// Clients' links that are made one after the other, and confirmed.
    case links
    /// Questions for the ledger's first blocks, over a link of each source.
    case blocks
    /// Operations for the ledger that are none, over a link of each source.
    case operations
    /// Builds of paths of one hop, over a link of each source.
    case builds
    /// The same build again and again.
    case replays

    static var names: String { allCases.map(\.rawValue).joined(separator: "|") }
}

/// What the command line says.
struct FloodPlan {
    let kind: FloodKind
    let file: NetworkFile
    let node: NodeID
    let target: Endpoint
    /// Packets a second.
    let rate: Double
    let seconds: Double
    let sources: Int
    let isWide: Bool

    var network: LinkNetwork { LinkNetwork(id: file.id, packetSize: file.packetSize) }

    /// The address of the source with this number.
    func address(_ number: Int) -> UInt32 {
        let (low, high) = (UInt32(number % 250), UInt32(number / 250))
        return isWide ? 0x7f02_0001 + low << 16 + high << 8 : 0x7f00_0101 + high << 8 + low
    }
}

/// How much is due of what comes at a steady pace.
struct Pace {
    private let perNanosecond: Double
    private let most: Double
    private var last: UInt64
    private var due = 0.0

    /// `rate` a second; what a pause of more than 100 ms would bring is left out.
    init(rate: Double, now: UInt64) {
        perNanosecond = rate / 1e9
        most = max(1, rate * 0.1)
        last = now
    }

    /// How many may be sent now.
    mutating func take(_ now: UInt64) -> Int {
        due = min(most, due + Double(now - last) * perNanosecond)
        last = now
        let whole = Int(due)
        due -= Double(whole)
        return whole
    }
}
