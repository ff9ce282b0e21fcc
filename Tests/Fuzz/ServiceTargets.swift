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
