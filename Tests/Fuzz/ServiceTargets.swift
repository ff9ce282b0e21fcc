import OnionCrypto
import Services
import ServicesModel
import Swarm
import SwarmModel
import Wire

/// A text that is taken for an address or a name has one address, and is written as it was read.
func address(_ input: RawSpan) {
    let text = String(decoding: [UInt8](copying: input), as: UTF8.self)
    if let address = try? ServiceAddress(text) {
        precondition(address.description == text, "two texts of one address")
        guard let name = HostName(text), let read = try? ServiceName(name) else {
            preconditionFailure("an address that is no name")
        }
        precondition(read.address == address && read.labels.isEmpty)
    }
    if let name = HostName(text), let read = try? ServiceName(name) {
        let labels = read.labels.isEmpty ? "" : read.labels + "."
        precondition(labels + read.address.description == name.text, "two names of one service")
    }
    if let bytes = ZBase32.decode([UInt8](copying: input)) {
        precondition(ZBase32.encode(bytes).utf8.elementsEqual([UInt8](copying: input)), "two texts of the same bytes")
    }
    // Any 32 bytes as a key: its address, if it has one, comes back.
    guard input.byteCount >= 32, let key = try? ServiceAddress(Bytes32(copying: input.extracting(first: 32))) else {
        return
    }
    precondition((try? ServiceAddress(key.description)) == key)
}

private let fuzzedService = Service(1)
private let fuzzedReader = fuzzedService.reader()
private let fuzzedStamp = DescriptorStamp(created: firstMinute, counter: 1)
private let fuzzedKeys = [ClientKey(Secret(copying: [UInt8](repeating: 1, count: 32).rawSpan))]
private let fuzzedItem = fuzzedService.item().bytes

/// A descriptor of which the first byte of the input says what the rest is.
///
/// It is the item, a change of a good item, the outer plain part, or the content. The last two are sealed and signed, so
/// that the parsers behind the checks are reached too.
func service(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let choice = try? reader.u8(), let bytes = try? reader.array(reader.remaining) else { return }
    func opened(_ bytes: [UInt8]) -> DescriptorReader.Opened? {
        try? fuzzedReader.open(bytes.rawSpan, at: firstTime, keys: fuzzedKeys)
    }
    func fitted(_ size: Int) -> [UInt8] {
        Array(bytes.prefix(size)) + [UInt8](repeating: 0, count: max(0, size - bytes.count))
    }
    switch choice % 4 {
    case 0: precondition(opened(bytes) == nil, "a descriptor that the service did not make")
    case 1:
        var changed = fuzzedItem
        for (place, byte) in bytes.enumerated() where place < changed.count { changed[place] ^= byte }
        precondition(changed == fuzzedItem || opened(changed) == nil, "a change that nobody noticed")
    case 2:
        let salt = [UInt8](repeating: choice, count: 16)
        guard let item = try? fuzzedService.signer().item(plain: fitted(3_820), fuzzedStamp, salt: salt) else {
            preconditionFailure("all plain parts have one size")
        }
        _ = opened(item.bytes)
    default:
        guard bytes.count > 2 else { return }
        let (flags, suites) = (bytes[0] & 0x0e, bytes[1])
        let content = Array(fitted(2_004)[2...])
        let salt = [UInt8](repeating: choice, count: 16)
        func item(_ content: [UInt8]) -> [UInt8] {
            guard
                let item = try? fuzzedService.signer().item(
                    content: content, flags: flags, suites: suites, fuzzedStamp, salt: salt)
            else { preconditionFailure("all contents have one size") }
            return item.bytes
        }
        guard let first = opened(item(content)) else { return }
        // Each descriptor has one content.
        precondition(first.descriptor.content == content, "two contents of one descriptor")
    }
}

/// A service, a client and replicas of all conducts over a bad network; the input is the seed and the events.
///
/// What must always hold traps in `ServiceWorld`.
func services(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let seed = try? reader.u64() else { return }
    let world = ServiceWorld(seed: seed, nodes: 12)
    let services = [Service(1), Service(2), Service(1, instance: 1)]
    world.start(services[0])
    var steps = 0
    while let step = try? reader.u8(), let detail = try? reader.u8(), steps < 60 {
        steps += 1
        let node = world.nodes[Int(detail) % world.nodes.count]
        let conducts = Conduct.allCases
        switch step % 12 {
        case 0: world.set(conducts[Int(detail / 12) % conducts.count], [node])
        case 1: world.kill([node])
        case 2: world.restart([node])
        case 3: world.move(without: [node], later: UInt64(step / 12) * 3_600)
        case 4: world.loss = Int(detail) % 60
        case 5: world.serviceSkew = (Int64(detail) - 128) * 60
        case 6: world.clientSkew = (Int64(detail) - 128) * 60
        case 7: world.publish(detail == 0 ? nil : services[0].descriptor(UInt64(detail)))
        case 8 where world.publishers.count < 4: world.start(services[Int(detail) % 3])
        case 9: world.perform(world.client.forget(isolations: [UInt64(detail) % 3]))
        case 10: _ = world.find(services[Int(detail) % 2], source: UInt64(detail) % 2, isolation: UInt64(detail) % 3)
        default: world.run(.seconds(Int64(detail)))
        }
    }
    world.run(.seconds(30))
    world.check()
}

/// Any bytes as replicas' answers to a look-up, a store and a test: none is taken for a descriptor or a receipt.
func shown(_ input: RawSpan) {
    let world = ServiceWorld(seed: 1, nodes: 12)
    world.start(fuzzedService)
    _ = world.find(fuzzedService)
    world.said = [UInt8](copying: input)
    world.run(.seconds(200))
    precondition(world.results.values.allSatisfy { (try? $0.get()) == nil }, "bytes that are no descriptor")
    for publisher in world.publishers {
        precondition(publisher?.states.allSatisfy { !$0.state.isStored } != false, "bytes that are no receipt")
    }
    world.check()
}
