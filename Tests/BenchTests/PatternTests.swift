import Testing

@testable import Bench

/// The first `count` bytes of a stream's pattern.
private func sent(_ count: Int, stream: UInt32) -> [UInt8] {
    var bytes: [UInt8] = []
    var place = Pattern.firstPlace(ofStream: stream)
    while bytes.count < count {
        let part = min(count - bytes.count, Pattern.longestChunk)
        do {
            try Pattern.withChunk(at: place, count: part) { chunk in
                unsafe chunk.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
            }
        } catch {
            Issue.record(error)
        }
        place = Pattern.place(place, advancedBy: part)
    }
    return bytes
}

/// Whether a receiver accepts `bytes` in pieces of `pieces` bytes.
private func isRight(_ bytes: [UInt8], stream: UInt32, pieces: Int) -> Bool {
    var check = PatternCheck(stream: stream)
    let tally = Tally()
    for start in stride(from: 0, to: bytes.count, by: pieces) {
        let piece = Array(bytes[start..<min(start + pieces, bytes.count)])
        guard unsafe check.take(piece.span.bytes, into: tally) else {
            #expect(tally.fault?.kind == .corrupt)
            return false
        }
    }
    return tally.bytes == UInt64(bytes.count) && tally.fault == nil
}

@Test(arguments: [1, 7, 4096, 65_537, 400_000])
func thePatternIsRecognisedOverItsPeriod(pieces: Int) {
    #expect(isRight(sent(pieces == 1 ? 3000 : 2_300_000, stream: 9), stream: 9, pieces: pieces))
}

@Test(arguments: [0, 1, 999, 1_100_000, 1_199_999])
func aChangedByteIsSeen(place: Int) {
    var bytes = sent(1_200_000, stream: 3)
    bytes[place] ^= 0x10
    #expect(!isRight(bytes, stream: 3, pieces: 50_000))
}

@Test func lostAndRepeatedBytesAreSeen() {
    let bytes = sent(300_000, stream: 3)
    #expect(!isRight(Array(bytes[..<100_000]) + Array(bytes[100_001...]), stream: 3, pieces: 8192))
    #expect(!isRight(Array(bytes[..<100_000]) + Array(bytes[165_536...]), stream: 3, pieces: 8192))
    #expect(!isRight(Array(bytes[..<100_000]) + Array(bytes[34_464...]), stream: 3, pieces: 8192))
}

@Test func aLostMebibyteIsSeenForThePeriodIsAPrime() {
    let bytes = sent(3 << 20, stream: 5)
    #expect(!isRight(Array(bytes[..<1000]) + Array(bytes[(1000 + 1 << 20)...]), stream: 5, pieces: 65_536))
}

@Test func swappedChunksAndOtherStreamsAreSeen() {
    let bytes = sent(200_000, stream: 3)
    #expect(!isRight(Array(bytes[100_000...]) + Array(bytes[..<100_000]), stream: 3, pieces: 8192))
    #expect(!isRight(sent(100_000, stream: 4), stream: 3, pieces: 8192))
}

@Test func thePeriodHasNoShorterOne() {
    for divisor in 2...1024 { #expect(Pattern.period % divisor != 0) }
}

@Test func requestsAreReadAsTheyWereWritten() {
    for operation in Request.Operation.allCases {
        let request = Request(operation, stream: 0xdead_beef)
        #expect(Request(request.bytes) == request)
        #expect(request.bytes.count == Request.size)
        #expect(zip(request.bytes, request.answer).allSatisfy { $0 ^ $1 == 0xff })
    }
    let bytes = Request(.ping, stream: 1).bytes
    #expect(Request(Array(bytes.dropLast())) == nil)
    #expect(Request(bytes + [0]) == nil)
    for place in 0..<4 {
        var changed = bytes
        changed[place] ^= 0x80
        #expect(Request(changed) == nil)
    }
}
