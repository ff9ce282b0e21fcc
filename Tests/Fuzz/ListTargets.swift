import Directory
import Wire

/// Lists of descriptors, proposals of them and questions for them, as the first byte says: one encoding.
func lists(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    let kind = unsafe input.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
    let span = input.extracting(1..<input.byteCount)
    let bytes = [UInt8](copying: span)
    var encoded: [UInt8]?
    switch kind % 3 {
    case 0: encoded = (try? SignedDescriptorList(decoding: span))?.encoded()
    case 1: encoded = (try? ListProposal(decoding: span))?.encoded()
    default:
        guard let question = try? ListedQuestion(decoding: span) else { return }
        // A bitmap may end with zeros, which mean nothing.
        precondition((try? ListedQuestion(decoding: question.encoded().rawSpan)) == question, "two questions")
    }
    precondition(encoded == nil || encoded == bytes, "two encodings")
}
