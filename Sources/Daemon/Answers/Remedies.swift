internal import Client
package import Control
internal import Relay

// A relay or client says what is wrong. The settings and commands that help are this program's, so they are named here.

extension RelayProblem {
    /// The problem and its remedy, in one or two sentences.
    var sentence: String { text.with(remedy: remedy) }

    /// The setting or command that helps; nil if the text says all.
    private var remedy: String? {
        switch self {
        case .standing(let standing): standing.remedy
        case .storeFull: "raise 'store_quota' if the disk has room"
        case .noNameServer: "see /etc/resolv.conf, or 'exit_resolver'"
        case .warning(.suspectedOfLoss):
            "see that the disk is sound and that 'swarm.sqlite' was not replaced by an older copy, and \(relayCheck)"
        case .warning: relayCheck
        case .rests, .drains, .wrongClock, .unheard, .alone, .registry, .unsaved, .unstored: nil
        }
    }
}

extension RelayProblem.Standing {
    /// The command that helps; nil if the text says all.
    fileprivate var remedy: String? {
        switch self {
        case .unregistered, .deregistered: "see 'tunic stake register'"
        case .open: "see 'tunic nodes'"
        case .maintenance: "'tunic maintenance end' has it used again before"
        case .suspended(.some), .decommissioned: relayCheck
        case .suspended(nil), .unstaked, .activeSoon: nil
        }
    }
}

extension CheckFinding {
    /// The result in words, and the remedy.
    var sentence: String {
        switch self {
        case .wrongClock(let problem): problem.sentence
        case .standing(let standing): RelayProblem.standing(standing).sentence
        case .bound, .noTime, .clock, .registry, .staked, .links, .reached, .unreached, .noRoute, .unasked, .descriptor,
            .descriptorUnasked:
            text
        }
    }
}

extension ClientProblem {
    /// The problem and its remedy, in one sentence.
    var sentence: String { text.with(remedy: remedy) }

    /// The settings that help; nil if the text says all.
    private var remedy: String? {
        switch self {
        case .noUsableExit: "look at client.exits and client.avoid"
        case .tooFewUsable, .noSource: "look at client.avoid"
        case .unsaved, .clockYearsOff, .wrongClock, .stale, .unreachable, .asksBeforeGuard, .lacksDescriptors, .noExit,
            .tooFewKnown, .build, .firstPath:
            nil
        }
    }
}

extension NodesReport {
    /// The output of `tunic nodes`; a node that stands alone has the command that helps.
    package var text: String { text(remedy: \.remedy) }
}

extension NodesReport.Node {
    /// The command that helps; nil if the text says all.
    fileprivate var remedy: String? {
        state == "decommissioned" && deregistersAt != nil ? "\(relayCheck) there" : nil
    }
}

private let relayCheck = "run 'tunic relay --check'"

extension String {
    /// This sentence with `remedy` behind a semicolon, in place of its full stop.
    fileprivate func with(remedy: String?) -> String {
        guard let remedy else { return self }
        return "\(hasSuffix(".") ? String(dropLast()) : self); \(remedy)."
    }
}
