import Onion
import OnionCrypto
import Testing
import VectorFiles
import Wire

@testable import Requests

/// The vectors of `Tests/Vectors/requests.py`: the model's bytes are read, and the same bytes are written.
@Suite struct VectorTests {
    private let vectors: VectorFile
    private let network: Bytes32
    private let target: NodeID
    private let pair: KEM.PrivateKey
    private let time = UnixTime(seconds: 1_800_000_123)

    init() throws {
        vectors = try VectorFile("requests")
        network = try vectors.bytes32("in.network")
        target = NodeID(try vectors.bytes32("in.target"))
        pair = try KEM.PrivateKey(seed: try vectors("in.onion"))
    }

    /// Seals with the model's encapsulation.
    private func seal(
        _ method: RequestMethod, _ arguments: [UInt8], padding: RequestClass = .bytes1024
    ) throws -> SealedRequest {
        let (shared, ciphertext) = (try vectors("shared"), try vectors("in.ciphertext"))
        let source = BuildSource(
            ephemeral: { AgreementKey() }, fill: { SecureRandom.bytes($0) },
            encapsulate: { (_: [UInt8]) throws(CryptoError) -> KEM.Encapsulation in
                KEM.Encapsulation(secret: Secret(copying: shared.rawSpan), ciphertext: ciphertext)
            })
        return try RequestEnvelope.seal(
            method, to: target, onionKey: pair.publicKey, network: network, time: time, padding: padding, source: source
        ) { _ in arguments }
    }

    private func open(_ envelope: [UInt8]) throws -> OpenedRequest {
        let id = Blake2b.digest(pair.publicKey.rawSpan).withBytes { unsafe $0.unsafeLoadUnaligned(as: UInt64.self) }
        let key = try #require(OnionKeys(pair, now: Instant(nanoseconds: 1)).key(id: id))
        return try #require(RequestEnvelope.open(envelope, with: key, node: target, network: network))
    }

    @Test("RQ7: envelopes and sealed answers")
    func rq7Sealed() throws {
        let arguments = try vectors("arguments")
        let request = try seal(.lookup, arguments)
        #expect(request.envelope == (try vectors("envelope")))
        #expect(request.binding == (try vectors.bytes32("binding")))
        #expect(try seal(.status, []).envelope == vectors("envelope status"))
        #expect(try seal(.status, [], padding: .bytes4352).envelope == vectors("envelope padded"))
        let opened = try open(try vectors("envelope"))
        #expect(opened.arguments == arguments && opened.method == 10 && opened.isValid(at: time))
        #expect(opened.binding == request.binding)
        var superseded = ByteWriter()
        superseded.u32(28_800_000)
        superseded.u8(3)
        let answers: [(String, RequestAnswer)] = [
            ("answer", RequestAnswer(.done, Array("a result".utf8))), ("answer busy", .busy(seconds: 9)),
            ("answer late", RequestAnswer(.timeInvalid)),
            ("answer superseded", RequestAnswer(.superseded, superseded.bytes)),
        ]
        for (name, answer) in answers {
            #expect(opened.seal(answer, salt: try vectors("in.salt")) == (try vectors(name)), "\(name)")
            #expect(request.open(try vectors(name)) == answer, "\(name)")
        }
        let session = try vectors.secret("in.session secret")
        #expect(RequestBinding.ofSession(session) == (try vectors.bytes32("session binding")))
    }

    @Test("RQ7: streams and messages")
    func rq7Forms() throws {
        let envelope = try vectors("envelope")
        let sealed = try vectors("answer")
        let opens: [(String, RequestOpen)] = [
            ("open", .envelope(envelope, to: target)), ("open own", .own(method: 10, arguments: Array("abc".utf8))),
        ]
        for (name, open) in opens {
            let bytes = try vectors(name)
            #expect(open.encoded() == bytes, "\(name)")
            #expect(try RequestOpen(decoding: bytes.rawSpan) == open, "\(name)")
        }
        let outer: [(String, OuterAnswer, OuterAnswer.Place)] = [
            ("stream answer", .answer(sealed), .stream), ("stream new key", .newKey(Array("key".utf8)), .stream),
            ("stream busy", .busy(seconds: 5), .stream), ("forward answer", .answer(sealed), .forward),
            ("own answer", .answer(RequestAnswer(.done, Array("a result".utf8)).encoded()), .ownStream),
            ("forward later", .later, .forward),
        ]
        for (name, answer, place) in outer {
            let bytes = try vectors(name)
            #expect(answer.encoded(for: place) == bytes, "\(name)")
            #expect(try OuterAnswer(decoding: bytes.rawSpan, at: place) == answer, "\(name)")
        }
        let statuses: [OuterAnswer] = [.unknownTarget, .noLink, .noAnswer, .tooMany, .unreadable]
        #expect(statuses.flatMap { $0.encoded(for: .stream) } == (try vectors("stream statuses")))
        let id: UInt64 = 0x0123_4567_89ab_cdef
        for isRelayed in [false, true] {
            let message = ForwardMessage(id: id, isRelayed: isRelayed, envelope: envelope)
            let bytes = try vectors(isRelayed ? "forward relayed" : "forward")
            #expect(message.encoded() == bytes)
            #expect(try ForwardMessage(decoding: bytes.rawSpan) == message)
        }
        for (name, answer) in [("answer message", .answer(sealed)), ("answer message busy", .busy(seconds: 5))]
            as [(String, OuterAnswer)]
        {
            let message = AnswerMessage(id: id, answer: answer)
            let bytes = try vectors(name)
            #expect(message.encoded() == bytes, "\(name)")
            #expect(try AnswerMessage(decoding: bytes.rawSpan) == message, "\(name)")
        }
        let relay = RelayRequest(target: target, envelope: envelope)
        let bytes = try vectors("relay")
        #expect(relay.encoded() == bytes)
        #expect(try RelayRequest(decoding: bytes.rawSpan) == relay)
    }
}
