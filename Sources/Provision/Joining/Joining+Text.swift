internal import Directory
internal import Texts
internal import Wire

extension Joining {
    /// The output of `tunic join` about the stored file.
    package func text(of kept: Kept) -> String {
        var table = Table()
        table.add("network", kept.network.name)
        table.add("id", hexadecimal(kept.network.id.array))
        let nodes = kept.network.snapshot.snapshot.stakedCount
        table.add("made", "\(durationText(kept.age)) ago, with \(nodes) nodes")
        if kept.network.isPrivate {
            table.add("exits", "may be asked for hosts of this machine's own network: no node has a public address")
        }
        table.add("fingerprint", kept.fingerprint)
        table.add("kept as", kept.place)
        let text = table.lines.joined(separator: "\n")
        guard fingerprint == nil else { return text }
        let caution = if case .address = source { ", not from the same address" } else { "" }
        return text + "\nCompare the fingerprint with one from another source\(caution), then: tunic client"
    }
}
