import Testing

@testable import Emulation

@Suite struct Texts {
    @Test(arguments: [
        "nothing", "host", "host a", "host a b", "host a\"b", "address c 10.0.0.1", "address a 10.0.0",
        "address a 10.0.0.256",
        "forget a 10.0.0.9", "segment", "segment x delay", "segment x delay=5", "segment x delay=-1ms",
        "segment x delay=9999999s",
        "segment x loss=2", "segment x loss=-1", "segment x loss=nan", "segment x rate=1M", "line", "line l rate=x",
        "line l queue=-5",
        "line l delay=5ms", "route a", "route a c", "route a b y", "cut", "cut c",
    ])
    func badCommands(text: String) throws {
        var lab = try Lab()
        #expect(throws: CommandError.self) { try lab.emulation.command(text, at: 0) }
    }

    @Test func aSegmentKeepsWhatIsNotNamed() throws {
        var lab = try Lab("segment x delay=20ms loss=1%")
        try lab.command("segment x jitter=2.5ms reorder=0.05 late=500us")
        let segment = lab.emulation.segments[0]
        #expect(segment.delay == 20 * millisecond && segment.loss == 0.01 && segment.jitter == 2_500_000)
        #expect(segment.reorder == 0.05 && segment.late == 500_000)
    }

    @Test func aRouteUnderWayIsNotChanged() throws {
        var lab = try Lab("segment x delay=20ms", "route a b x")
        try lab.send()
        #expect(throws: CommandError.self) { try lab.emulation.command("route a b", at: 0) }
    }

    @Test func everythingIsCounted() throws {
        var lab = try Lab("segment x delay=1ms", "line l rate=8M queue=10ms", "route a b l x")
        try lab.send()
        _ = lab.arrivals(by: 100 * millisecond)
        let counts = try lab.emulation.command("counts", at: 0)
        #expect(
            counts == """
                {"routes":{"a>b":{"packets":1,"bytes":1000,"lost":0,"dropped":0,"cut":0,"full":0,"held":0}},\
                "lines":{"l":{"packets":1,"bytes":1000,"dropped":0,"dropped_bytes":0,"waiting":0,"most_waiting":1000}},\
                "segments":{"x":{"lost":0,"reordered":0}},"slots":0,"malformed":0,"foreign":0,"unknown":0}
                """)
    }

    @Test(
        arguments: [
            ("::", 0, 0), ("::1", 0, 1), ("fd00::", 0xfd00_0000_0000_0000, 0),
            ("fd00::1:2", 0xfd00_0000_0000_0000, 0x1_0002),
            ("1:2:3:4:5:6:7:8", 0x0001_0002_0003_0004, 0x0005_0006_0007_0008), ("10.1.2.3", 0, 0xffff_0a01_0203),
        ] as [(String, UInt64, UInt64)])
    func addressesAreRead(text: String, high: UInt64, low: UInt64) {
        #expect(Address(text: text) == Address(high: high, low: low))
    }

    @Test(arguments: [
        "", ":", "1:2", "1::2::3", "1:2:3:4:5:6:7:8:9", "::1:", "1:2:3:4:5:6:7::8", "g::", "10.0.0.1.2", "10..0.1",
    ])
    func noAddresses(text: String) { #expect(Address(text: text) == nil) }

    @Test func packetsNameTheirEnds() {
        var four = [UInt8](repeating: 0, count: 20)
        four[0] = 0x45
        four.replaceSubrange(12..., with: [10, 0, 0, 1, 10, 0, 0, 2])
        expect(four, Address(v4: 0x0a00_0001), Address(v4: 0x0a00_0002))
        expectNone(Array(four[..<19]))
        var six = [UInt8](repeating: 0, count: 40)
        six[0] = 0x60
        six[8] = 0xfd
        six[23] = 1
        six[39] = 2
        expect(six, Address(high: 0xfd00_0000_0000_0000, low: 1), Address(high: 0, low: 2))
        expectNone(Array(six[..<39]))
        six[0] = 0x50
        expectNone(six)
    }

    private func expect(_ packet: [UInt8], _ source: Address, _ destination: Address) {
        let ends = addresses(of: packet.span.bytes)
        #expect(ends?.source == source && ends?.destination == destination)
    }

    private func expectNone(_ packet: [UInt8]) {
        let isNone = addresses(of: packet.span.bytes) == nil
        #expect(isNone)
    }
}
