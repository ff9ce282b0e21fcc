import Registry
import Wire

/// Operations, blocks, acceptor state and messages of the ledger: all that decode have one encoding.
func ledger(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    let kind = unsafe input.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
    let span = input.extracting(1..<input.byteCount)
    let bytes = [UInt8](copying: span)
    var encoded: [UInt8]?
    switch kind % 9 {
    case 0: encoded = (try? RegistryOperation(decoding: span))?.encoded()
    case 1: encoded = (try? FinalBlock(decoding: span))?.encoded()
    case 2: encoded = (try? Block(decoding: span))?.encoded()
    case 3: encoded = (try? AcceptorState(decoding: span))?.encoded()
    case 4: encoded = (try? AuthorityRequest(decodingPropose: span))?.encoded()
    case 5: encoded = (try? AuthorityRequest(decodingCommit: span))?.encoded()
    case 6: encoded = (try? AuthorityAnswer(decoding: span))?.encoded()
    case 7: encoded = (try? SubmitAnswer(decoding: span))?.encoded()
    default:
        if let list = try? FinalBlock.decodeList(span) { encoded = FinalBlock.encodeList(list.map { $0.encoded() }) }
    }
    precondition(encoded == nil || encoded == bytes, "two encodings")
}

/// A state that decodes has one encoding, keeps every unit, and takes another block without a trap.
func registry(_ input: RawSpan) {
    guard var state = try? RegistryState(decoding: input) else { return }
    precondition(state.encoded() == [UInt8](copying: input), "two encodings")
    precondition(state.isBalanced, "units are lost")
    try? state.begin(height: .max, time: RegistryState.timeLimit, block: state.network, seed: state.network)
    precondition(state.isBalanced, "units are lost")
    _ = state.snapshot()
}
