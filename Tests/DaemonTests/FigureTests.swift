import Control
import Testing
import Web

@testable import Daemon

extension ProcessTests {
    @Suite struct FigureTests {
        /// The figures that a role does not always have: they need an oxend daemon, a limit, a list, a passed test or
        /// several workers.
        private static let rare: Set = [
            "registry.leaves_at", "registry.maintenance_until", "registry.deregisters_at", "registry.locked_until",
            "registry.clock_refusals", "watching.median_ms", "watching.longest_ms", "snapshot.list", "accounting.limit",
        ]

        @Test("Each role gives each figure that the catalogue says it has, and no other")
        func rolesGiveTheirFigures() throws {
            let running = try Running(
                "[client]\nsocks = ['127.0.0.1:0']\n[relay]\nlisten = ['127.0.0.1:0']\n[web]\nlisten = 'off'\n"
                    + "[log]\nlevel = 'critical'\n")
            defer { running.end() }
            let status = try #require(running.answer(.status, as: StatusReport.self))
            for report in [status] + (status.others ?? []) {
                for entry in FigureCatalog.all where !Self.rare.contains(entry.key) {
                    let isExpected =
                        switch entry.path.object {
                        case "process": report.role == status.role
                        case "oxend", "workers": false
                        default: entry.roles.contains(report.role)
                        }
                    #expect((report.content(of: entry) != nil) == isExpected, "\(report.role): \(entry.key)")
                }
            }
        }

        @Test("The status page gets the catalogue, and writes each style")
        func thePageReadsTheCatalogue() {
            let page = StatusPage.document(nonce: "n", figures: FigureCatalog.json)
            #expect(page.contains("id=\"catalog\">\(FigureCatalog.json)</script>"))
            for style in FigureStyle.allCases {
                #expect(page.contains(" \(style.rawValue): ") || page.contains(" \(style.rawValue), "), "\(style)")
            }
        }
    }
}
