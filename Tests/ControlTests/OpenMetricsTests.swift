import Testing

@testable import Control

@Suite struct OpenMetricsTests {
    @Test("node_exporter's textfile collector gets the same figures without what its older format does not know")
    func textfile() {
        var metrics = OpenMetrics()
        metrics.add(.info, "x_build", "What it is.", [.init(1, [("version", "1 \"2\"")])])
        metrics.add(.counter, "x_sent_bytes", "Bytes sent.", [.init(7, [("role", "a")]), .init(0.5)])
        metrics.add(.gauge, "x_ready", "Whether it serves.", [.init(1)])
        #expect(
            OpenMetrics.textfile(metrics.text) == """
                # TYPE x_build_info gauge
                # HELP x_build_info What it is.
                x_build_info{version="1 \\"2\\""} 1
                # TYPE x_sent_bytes_total counter
                # HELP x_sent_bytes_total Bytes sent.
                x_sent_bytes_total{role="a"} 7
                x_sent_bytes_total 0.5
                # TYPE x_ready gauge
                # HELP x_ready Whether it serves.
                x_ready 1

                """)
    }

    @Test("S3: how a relay stands in the registry is in its figures")
    func s3TheRegistryIsInTheFigures() {
        var report = StatusReport(role: .relay, version: "1")
        func text() -> String {
            var metrics = OpenMetrics()
            metrics.add([report])
            return metrics.text
        }
        #expect(!text().contains("registry"))
        (report.registryState, report.blockHeight, report.blockTime) = (.deregistered, 9, 1_700_000_000)
        (report.stake, report.rewards, report.credit) = (25_000_000_000_000, 1_500_000_000, 0)
        report.lockedUntil = 1_800_000_000
        report.clockRefusals = 3
        report.snapshotHeight = 8
        (report.watched, report.dead, report.testsPassed, report.testsFailed) = (5, 1, 9, 2)
        report.sinceClient = 12.5
        let lines = Set(text().split(separator: "\n").map(String.init))
        for line in [
            "tunic_registry_state{state=\"deregistered\"} 1", "tunic_registry_state{state=\"active\"} 0",
            "tunic_registry_state{state=\"unregistered\"} 0", "tunic_block_height 9", "tunic_stake_sesh 25000",
            "tunic_rewards_sesh 1.5", "tunic_credit_seconds 0", "tunic_locked_until_seconds 1800000000",
            "tunic_leaves_at_seconds 0", "tunic_snapshot_height{role=\"relay\"} 8",
            "tunic_node_tests_total{role=\"relay\",result=\"failed\"} 2", "tunic_dead_nodes{role=\"relay\"} 1",
            "tunic_since_client_seconds{role=\"relay\"} 12.5", "tunic_clock_refusals_total 3",
        ] { #expect(lines.contains(line), "\(line)") }
    }
}
