import Testing

@testable import Bench

private let client = SubjectProcess(pid: 1)

private func node(_ name: String) -> SubjectProcess { SubjectProcess(pid: 2, node: name) }

@Test(arguments: [
    (["a"], ["a": SubjectRole.exit, "b": .others]),
    (["a", "b"], ["a": .guard, "b": .exit, "c": .others]),
    (["a", "b", "c", "d"], ["a": .guard, "b": .middle, "c": .middle, "d": .exit, "e": .others]),
])
func aNodesRoleIsItsPlaceInThePath(path: [String], roles: [String: SubjectRole]) {
    for (name, role) in roles { #expect(SubjectRole.of(node(name), on: path) == role) }
    #expect(SubjectRole.of(client, on: path) == .client)
}

@Test func withoutOnePathAllNodesAreRelays() {
    #expect(SubjectRole.of(node("a"), on: nil) == .relays)
    #expect(SubjectRole.of(node("a"), on: []) == .relays)
    #expect(SubjectRole.of(client, on: nil) == .client)
}

@Test func aPathThatChangedIsNotKnown() {
    var meter = UsageMeter([client, node("a")])
    meter.took(path: ["a"], ["b"])
    #expect(meter.path == nil)
    meter.took(path: ["a"], ["a"])
    #expect(meter.path == ["a"])
    meter.windowBegan()
    meter.windowEnded()
    #expect(Set(meter.secondsByRole.keys) == ["client", "exit"])
}

@Test func thisProcessHasUsedTimeAndMemory() {
    var sum: UInt64 = 0
    for number in 0..<3_000_000 as Range<UInt64> { sum = sum &* 31 &+ number }
    #expect(sum != 0)
    #expect(ProcessUsage.ownCPUNanoseconds > 0)
    #expect(ProcessUsage.residentBytes(of: .max) == 0)
    #expect(ProcessUsage.cpuNanoseconds(of: .max) == 0)
    #expect(ProcessUsage.residentBytes(of: 1) > 0)
}
