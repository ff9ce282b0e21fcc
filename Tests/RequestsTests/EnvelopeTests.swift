import Onion
import OnionCrypto
import Testing
import Wire

@testable import Requests

private let network = Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan)
private let node = NodeID(Bytes32(copying: [UInt8](repeating: 5, count: 32).rawSpan))

/// Sealed requests and answers.
@Suite struct EnvelopeTests {
    private let pair: KEM.PrivateKey
    private let key: OnionKeys.Key
    private let salt = [UInt8](repeating: 7, count: 16)
    private let time = UnixTime(seconds: 1_800_000_030)

    init() throws {
        let pair = try KEM.PrivateKey(seed: [UInt8](repeating: 1, count: 32))
        let keys = OnionKeys(pair, now: Instant(nanoseconds: 1))
        let hash = Blake2b.digest(pair.publicKey.rawSpan)
        let id = hash.withBytes { unsafe $0.unsafeLoadUnaligned(as: UInt64.self) }
        guard let key = keys.key(id: id) else { throw Unexpected() }
        self.pair = pair
        self.key = key
    }

    private func seal(_ arguments: [UInt8], at time: UnixTime? = nil) throws -> SealedRequest {
        try RequestEnvelope.seal(
            .lookup, to: node, onionKey: pair.publicKey, network: network, time: time ?? self.time
        ) { _ in arguments }
    }

    private func open(_ envelope: [UInt8]) -> OpenedRequest? {
        RequestEnvelope.open(envelope, with: key, node: node, network: network)
    }

    @Test("RQ2: a request and its answer, in each class")
    func rq2BothWays() throws {
        for size in RequestClass.allCases {
            let arguments = [UInt8](repeating: 3, count: size.size - RequestEnvelope.headSize)
            let request = try seal(arguments)
            #expect(request.envelope.count == size.envelopeSize)
            let opened = try #require(open(request.envelope))
            #expect(opened.arguments == arguments && opened.method == RequestMethod.lookup.rawValue)
            #expect(opened.binding == request.binding && opened.isValid(at: time))
            let result = [UInt8](repeating: 4, count: size.size - RequestEnvelope.answerHeadSize)
            let sealed = opened.seal(RequestAnswer(.done, result), salt: salt)
            #expect(sealed.count == size.answerSize)
            #expect(request.open(sealed) == RequestAnswer(.done, result))
        }
        let full = try seal([UInt8](repeating: 0, count: RequestEnvelope.longestArguments))
        #expect(full.envelope.count == RequestClass.bytes65792.envelopeSize)
        let opened = try #require(open(full.envelope))
        #expect(full.open(opened.seal(RequestAnswer(.done, full.envelope), salt: salt)) == RequestAnswer(.full))
    }

    @Test("RQ2: a changed bit anywhere gives no request and no answer")
    func rq2ChangedBits() throws {
        let request = try seal([1, 2, 3])
        let opened = try #require(open(request.envelope))
        let sealed = opened.seal(RequestAnswer(.done, [7]), salt: salt)
        for offset in 0..<sealed.count {
            var changed = sealed
            changed[offset] ^= 1 << UInt8(offset % 8)
            #expect(request.open(changed) == nil, "answer, byte \(offset)")
        }
        // Each try takes a decapsulation, so only the edges and every 31st byte are tried.
        let edges = [0, 7, 8, 1_095, 1_096, 1_127, 1_128, request.envelope.count - 16, request.envelope.count - 1]
        for offset in edges + Array(stride(from: 0, to: request.envelope.count, by: 31)) {
            var changed = request.envelope
            changed[offset] ^= 1 << UInt8(offset % 8)
            #expect(open(changed) == nil, "envelope, byte \(offset)")
        }
        for length in [0, 7, 1_128, request.envelope.count - 1] {
            #expect(open(Array(request.envelope.prefix(length))) == nil, "envelope of \(length)")
        }
        for length in 0..<sealed.count { #expect(request.open(Array(sealed.prefix(length))) == nil) }
        #expect(open(request.envelope + [0]) == nil && request.open(sealed + [0]) == nil)
    }

    @Test("RQ2: an envelope opens at its node, in its network and with its key only; an answer at its request")
    func rq2Foreign() throws {
        let request = try seal([1])
        let other = NodeID(Bytes32(copying: [UInt8](repeating: 6, count: 32).rawSpan))
        #expect(RequestEnvelope.open(request.envelope, with: key, node: other, network: network) == nil)
        #expect(RequestEnvelope.open(request.envelope, with: key, node: node, network: other.key) == nil)
        let pair = try KEM.PrivateKey(seed: [UInt8](repeating: 2, count: 32))
        let id = Blake2b.digest(pair.publicKey.rawSpan).withBytes { unsafe $0.unsafeLoadUnaligned(as: UInt64.self) }
        let foreign = try #require(OnionKeys(pair, now: Instant(nanoseconds: 1)).key(id: id))
        #expect(RequestEnvelope.open(request.envelope, with: foreign, node: node, network: network) == nil)
        let again = try seal([1])
        #expect(again.binding != request.binding && again.envelope != request.envelope)
        let sealed = try #require(open(again.envelope)).seal(RequestAnswer(.done), salt: salt)
        #expect(request.open(sealed) == nil && again.open(sealed) != nil)
        #expect(throws: CryptoError.self) {
            try RequestEnvelope.seal(.lookup, to: node, onionKey: [1], network: network, time: time) { _ in [] }
        }
    }

    @Test("RQ7: bytes behind the arguments must be zero, and the length in its place")
    func rq7Padding() throws {
        // Seals a plaintext that the test chooses.
        func request(_ plain: [UInt8]) throws -> [UInt8] {
            let encapsulation = try KEM.encapsulate(to: pair.publicKey)
            let opening = Array(key.hash.array.prefix(8)) + encapsulation.ciphertext
            let keys = RequestKeys(
                shared: encapsulation.takeSecret(), network: network, node: node, onionKeyHash: key.hash,
                opening: opening.rawSpan)
            return opening + keys.ask.seal(plain.rawSpan, associated: opening.rawSpan, counter: 0)
        }
        func plain(_ length: UInt32, _ change: Int? = nil) -> [UInt8] {
            var writer = ByteWriter()
            writer.u32(30_000_000)
            writer.u8(10)
            writer.u32(length)
            writer.zeros(1_024 - 9)
            var bytes = writer.bytes
            if let change { bytes[change] = 1 }
            return bytes
        }
        #expect(open(try request(plain(3))) != nil)
        #expect(open(try request(plain(3, 11)))?.arguments == [0, 0, 1])
        for offset in [12, 13, 500, 1_023] { #expect(open(try request(plain(3, offset))) == nil, "\(offset)") }
        for length in [1_016, 1 << 20, .max] as [UInt32] { #expect(open(try request(plain(length))) == nil) }
        #expect(open(try request(plain(1_015)))?.arguments.count == 1_015)
        #expect(open(try request(Array(plain(3).dropLast()))) == nil, "a size that is no class's")
    }

    @Test("RQ1: the time is valid within five units, both ways")
    func rq1Time() throws {
        let opened = try #require(open(try seal([]).envelope))
        for units in -8...8 {
            let now = UnixTime(seconds: UInt64(Int(time.seconds) + units * 60))
            #expect(opened.isValid(at: now) == (abs(units) <= 5), "\(units)")
        }
        #expect(!opened.isValid(at: UnixTime(seconds: 0)) && !opened.isValid(at: UnixTime(seconds: .max)))
        // A target remembers a request for as long as the request's time can be valid.
        #expect(RequestEnvelope.memory == .seconds(660))
    }

    @Test("RQ1: two answers to one request share no key stream")
    func rq1Salt() throws {
        let request = try seal([])
        let opened = try #require(open(request.envelope))
        let answers = [salt, [UInt8](repeating: 8, count: 16)].map { opened.seal(RequestAnswer(.done, [1]), salt: $0) }
        #expect(answers.allSatisfy { request.open($0) == RequestAnswer(.done, [1]) })
        let same = zip(answers[0], answers[1]).count { $0 == $1 }
        #expect(same < 40)
    }
}
