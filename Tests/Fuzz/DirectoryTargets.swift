import DirectoryModel
import Wire

/// Honest nodes and clients that go from snapshot to snapshot beside a hostile node; the model traps.
///
/// The first byte of the input says how many nodes are staked, and whether one of them has a short history. The bytes
/// after it are choices.
func snapshots(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let first = try? reader.u8() else { return }
    let model = SnapshotModel(voters: 4 + Int(first % 3), isForgetful: first >= 128)
    run(input.extracting(droppingFirst: reader.offset)) { model.step($0) }
    model.finish()
}

/// Honest nodes and a client that spread descriptors and agree on lists beside a hostile node; the model traps.
func gossip(_ input: RawSpan) {
    let model = ListModel()
    run(input) { model.step($0) }
    model.finish()
}
