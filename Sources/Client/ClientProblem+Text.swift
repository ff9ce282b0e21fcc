internal import Directory
internal import Wire

extension ClientProblem {
    /// The problem, in one sentence that names no settings.
    public var text: String {
        switch self {
        case .unsaved(let error): "The state of the network cannot be saved: \(error)."
        case .clockYearsOff:
            "A node says that this machine's clock is more than a year off; set it, and keep it right by NTP."
        case .wrongClock(let error, let operators, let isCorrected): Self.ofClock(error, operators, isCorrected)
        case .stale(let age, let limit):
            "The newest snapshot of the network is \(age) hours old, and it is trusted for \(limit) hours; look "
                + "whether this machine's clock is right and its network works, or get the network's newest network "
                + "file and start again."
        case .unreachable(let operators, let height):
            "The nodes of \(operators) operator\(operators == 1 ? "" : "s") have newer snapshots, and their histories do "
                + "not reach back to this client's, of height \(height); get the network's newest network file and start "
                + "again."
        case .asksBeforeGuard(let isFirst, let operators, let asked):
            "Before \(isFirst ? "the first" : "another") guard is drawn, nodes of \(operators) operators are asked for "
                + "all descriptors\(Self.text(asked))."
        case .lacksDescriptors(let count, let nodes, let known, let asked):
            "The descriptors of \(count) of \(nodes) nodes are lacking (known: \(known.nodes) % of the weight "
                + "of the nodes, needed: \(Int(Coverage.leastNodes)) %; of the exits: \(known.exits) %, needed: "
                + "\(Int(Coverage.leastExits)) %)\(Self.text(asked)); look whether nodes of the network file can be "
                + "reached."
        case .noSource(let nodes):
            "None of the \(nodes) nodes of the network file may be used, so nobody can be asked about the network."
        case .noExit(let nodes): "None of the \(nodes) nodes that are known is an exit."
        case .noUsableExit(let exits):
            "None of the exits known (\(exits)) may be used."
        case .tooFewUsable(let count, let nodes, let hops):
            "\(count) of the \(nodes) nodes that are known may be used, too few for a path of \(hops) hops."
        case .tooFewKnown(let count, let nodes, let hops):
            "\(count) of \(nodes) nodes are known, too few for a path of \(hops) hops; no node of the network file may "
                + "be reachable."
        case .build(let failure): failure.text
        case .firstPath: "The first path is being built."
        }
    }

    private static func ofClock(_ error: TimeSpan, _ operators: Int, _ isCorrected: Bool) -> String {
        let (length, side) = (Self.length(abs(error.inSeconds)), error > .zero ? "ahead of" : "behind")
        let nodes = "the nodes of \(operators) operator\(operators == 1 ? "" : "s")"
        let doing = isCorrected ? "their time is used" : "the clock is used, for too few agree"
        return "This machine's clock is \(length) \(side) \(nodes), and \(doing); set it, and keep it right by NTP."
    }

    /// The numbers of an inquiry, for the middle of a sentence; empty without one.
    private static func text(_ asked: Asked?) -> String {
        asked.map { ", and \($0.answers) of \($0.asked) nodes asked have answered" } ?? ""
    }

    private static func length(_ seconds: Double) -> String {
        if seconds < 7_200 { return "\(Int(seconds / 60)) minutes" }
        if seconds < 172_800 { return "\(Int(seconds / 3_600)) hours" }
        return "\(Int(seconds / 86_400)) days"
    }
}
