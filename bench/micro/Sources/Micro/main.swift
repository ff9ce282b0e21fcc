internal import CMicro
internal import OnionCrypto

/// What `run` calls; it prints JSON, a line for each answer.
///
///     Micro list
///     Micro NAME OPERATIONS [aes|chacha]
///     Micro memory PATHS [aes|chacha]
///     Micro neighbours FOLDER [aes|chacha]

let words = CommandLine.arguments.dropFirst()
let suite: Suite =
    switch words.dropFirst(2).first {
    case "chacha": .chacha20poly1305
    case "aes": .aes256gcm
    default: Suite.aes256gcm.isAvailable ? .aes256gcm : .chacha20poly1305
    }
guard suite.isAvailable else { fail("AES-256-GCM needs hardware that is not there") }
let suiteName = suite == .aes256gcm ? "aes" : "chacha"

switch words.first {
case "list":
    for one in benchmarks {
        print(
            #"{"name": "\#(one.name)", "title": "\#(one.title)", "group": "\#(one.group)", "#
                + #""counted": \#(one.counted), "timed": \#(one.timed)}"#)
    }
case "memory":
    let memory = PathMemory(paths: words.dropFirst().first.flatMap { Int($0) } ?? 100_000, suite)
    print(
        #"{"suite": "\#(suiteName)", "resident_bytes": \#(memory.resident), "allocated_bytes": \#(memory.allocated)}"#)
case "neighbours":
    do {
        try Neighbours(folder: words.dropFirst().first ?? ".", suite: suite).run()
    } catch { fail("\(error)") }
case let name?:
    guard let benchmark = benchmarks.first(where: { $0.name == name }),
        let operations = words.dropFirst().first.flatMap({ Int($0) }), operations > 0
    else { fail("usage: Micro list | Micro NAME OPERATIONS [aes|chacha] | Micro memory PATHS [aes|chacha]") }
    var meter = Meter(operations: operations)
    benchmark.run(&meter, suite)
    print(
        #"{"suite": "\#(suiteName)", "operations": \#(meter.operations), "nanoseconds": \#(meter.nanoseconds), "#
            + #""allocations": \#(Double(meter.allocations) / Double(meter.operations))}"#)
case nil: fail("usage: Micro list | Micro NAME OPERATIONS [aes|chacha] | Micro memory PATHS [aes|chacha]")
}
