import Testing

@testable import Control

@Suite struct OpenMetricsTests {
    @Test("node_exporter's textfile collector gets the same figures without what its older format does not know")
    func textfile() {
        var metrics = OpenMetrics()
        metrics.add(.info, "x_build", "What it is.", [.init(1, [("version", "1 \"2\"")])])
        metrics.add(.counter, "x_sent_bytes", unit: "bytes", "Bytes sent.", [.init(7, [("role", "a")]), .init(0.5)])
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
}
