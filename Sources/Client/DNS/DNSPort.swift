internal import DNSProtocol
internal import EventLoop
internal import Links
internal import Wire

/// A port on the loopback that answers DNS, over UDP and TCP, through the exit's resolver.
///
/// It asks no other server: without an exit the answer is a failure. It has more members than most types: its tables of
/// connections, questions and look-ups change together.
final class DNSPort: DatagramReceiver {
    /// The most questions of apps that wait for the exit.
    static let questionLimit = 512
    /// The most TCP connections.
    static let connectionLimit = 64

    /// A look-up, and those who wait for its result.
    private struct Lookup {
        let lookup: RecordsLookup
        var askers: [(place: UInt64, tell: (RecordsLookup.Outcome) -> Void)] = []
        /// ``timesForgotten`` at its beginning.
        let begun: Int
    }

    private let loop: Loop
    /// The isolation key of its questions.
    let isolation: IsolationKey
    private let sessions: any SessionSource
    private let answers: AnswerRule
    private var socket: DatagramSocket?
    private var listener: StreamListener?
    private var connections: [ObjectIdentifier: DNSConnection] = [:]
    /// The places of the TCP connections by owner, busy while they wait for answers.
    private var seats = SharedTable<KeyOwner, KeyOwner, ObjectIdentifier>(
        capacity: connectionLimit, most: connectionLimit)
    /// Whose app a connection belongs to.
    var owner: (ByteStream) -> KeyOwner = KeyOwner.of
    /// Called when there are too many connections.
    var noteFull: () -> Void = {}
    private var cache = DNSCache()
    /// How many times the cache was cleared; answers to questions from before that are not kept.
    private var timesForgotten = 0
    private var lookups: [DNSQuestion: Lookup] = [:]
    /// The places of the questions that wait, by the address and port that asked.
    ///
    /// An app that asks much from one port loses its own questions when the places are taken.
    private var places = SharedTable<AddressShare, Endpoint, UInt64>(capacity: questionLimit, most: questionLimit)
    private var waiting: [UInt64: DNSQuestion] = [:]
    private var nextPlace: UInt64 = 0
    /// The address at which it listens.
    let address: Endpoint

    /// Listens at all of `addresses`, or at none if one is not available.
    static func open(
        _ addresses: [Endpoint], on loop: Loop, sessions: any SessionSource, answers: AnswerRule
    ) throws(UVError) -> [DNSPort] {
        var ports: [DNSPort] = []
        for (number, address) in addresses.enumerated() {
            do throws(UVError) {
                ports.append(try DNSPort(on: loop, at: address, number: number, sessions: sessions, answers: answers))
            } catch {
                for port in ports { port.close() }
                throw error.at(address.description)
            }
        }
        return ports
    }

    /// Listens at `address`, the client's DNS address number `number`, over UDP and TCP.
    ///
    /// Port 0 picks one that is free for both.
    init(
        on loop: Loop, at address: Endpoint, number: Int, sessions: any SessionSource, answers: AnswerRule
    ) throws(UVError) {
        self.loop = loop
        self.sessions = sessions
        self.answers = answers
        isolation = IsolationKey(dns: number)
        var attempts = address.port == 0 ? 16 : 1
        while true {
            attempts -= 1
            let accepted = Accepted()
            let listener = try StreamListener.tcp(on: loop, address: SocketAddress(address)) { accepted.take($0) }
            let port = listener.localAddress?.port ?? 0
            let receiver = Received()
            do throws(UVError) {
                var configuration = DatagramSocket.Configuration.small
                configuration.fragments = false
                socket = try DatagramSocket(
                    on: loop, bindTo: SocketAddress(address).with(port: port), configuration: configuration,
                    receiver: receiver)
                self.listener = listener
                self.address = Endpoint(address: address.address, port: port)
                accepted.port = self
                receiver.port = self
                return
            } catch {
                listener.close()
                guard attempts > 0, error.kind == .addressInUse else { throw error }
            }
        }
    }

    /// Passes connections on to the port, once that is made.
    private final class Accepted {
        weak var port: DNSPort?
        func take(_ stream: ByteStream) { if let port { port.accepted(stream) } else { stream.close() } }
    }

    private final class Received: DatagramReceiver {
        weak var port: DNSPort?
        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            port?.received(&batch, on: socket)
        }
    }

    // MARK: UDP

    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        for index in 0..<batch.count {
            let source = batch.source(of: index)
            // No answer can be sent to port 0.
            guard source.port != 0 else { continue }
            let packet = batch.packet(index)
            answer(packet.bytes, of: Endpoint(source), overUDP: true) { [weak self] answer in
                if let answer { self?.socket?.send(answer.rawSpan, to: source) }
            }
        }
    }

    // MARK: TCP

    /// Serves a new connection; at the limit another one ends for it.
    ///
    /// It is one of the owner with the most, if that has two more, and else of the own one; those without open
    /// questions end first.
    private func accepted(_ stream: ByteStream) {
        let owner = self.owner(stream)
        let connection = DNSConnection(stream, of: owner, port: self)
        let key = ObjectIdentifier(connection)
        if connections.count >= Self.connectionLimit { noteFull() }
        var insertion = seats.insert(key, for: owner, in: owner, replacesOwn: true)
        if insertion == .refused {
            let own = connections.values.filter { $0.owner == owner }
            guard let oldest = own.min(by: { $0.lastUsed < $1.lastUsed }) else { return connection.close() }
            oldest.close()
            insertion = seats.insert(key, for: owner, in: owner)
        }
        connections[key] = connection
        if case .replaced(let other) = insertion { connections[other]?.close() }
    }

    /// Notes whether a connection waits for answers.
    func setWaiting(_ connection: DNSConnection, _ isWaiting: Bool) {
        seats.setBusy(ObjectIdentifier(connection), isWaiting)
    }

    /// Removes a connection that is over.
    func ended(_ connection: DNSConnection) {
        seats.remove(ObjectIdentifier(connection))
        connections[ObjectIdentifier(connection)] = nil
    }

    // MARK: Questions

    /// Answers a message of an app at `source` with `send`, now or later, once; with nil if it gets no answer.
    func answer(_ message: RawSpan, of source: Endpoint, overUDP: Bool, send: @escaping ([UInt8]?) -> Void) {
        switch DNSQuery.decode(from: message) {
        case .none: send(nil)
        case .answer(let query, let code): send(query.answer(code, overUDP: overUDP))
        case .query(let query):
            guard let name = query.name else { return send(nil) }
            let question = DNSQuestion(name: name, type: query.type)
            if let known = question.known(allowsPrivate: answers.allowsPrivate) {
                return send(Self.answer(query, known, overUDP: overUDP))
            }
            ask(question, for: source) { send(Self.answer(query, $0, overUDP: overUDP)) }
        }
    }

    private func ask(
        _ question: DNSQuestion, for source: Endpoint, then tell: @escaping (RecordsLookup.Outcome) -> Void
    ) {
        if let answer = cache.answer(to: question, now: Instant(nanoseconds: loop.now)) {
            return tell(.answered(answer))
        }
        let place = nextPlace
        nextPlace += 1
        let insertion = places.insert(place, for: source, in: AddressShare(source.address))
        guard insertion != .refused else { return tell(.none) }
        waiting[place] = question
        if lookups[question] != nil {
            lookups[question]?.askers.append((place, tell))
        } else {
            let lookup = RecordsLookup(question, mayTell: answers.mayTell) { [weak self] in
                self?.found($0, for: question)
            }
            lookups[question] = Lookup(lookup: lookup, askers: [(place, tell)], begun: timesForgotten)
            lookup.begin(isolation: isolation, on: loop, from: sessions)
        }
        // Last, for the app that is told may ask again at once.
        if case .replaced(let other) = insertion { giveUp(other) }
    }

    /// Fails the question at a place that another one has got; its look-up ends if nobody else waits for it.
    private func giveUp(_ place: UInt64) {
        guard let question = waiting.removeValue(forKey: place),
            let number = lookups[question]?.askers.firstIndex(where: { $0.place == place }),
            let asker = lookups[question]?.askers.remove(at: number)
        else { return }
        if lookups[question]?.askers.isEmpty == true { lookups.removeValue(forKey: question)?.lookup.cancel() }
        asker.tell(.none)
    }

    private func found(_ outcome: RecordsLookup.Outcome, for question: DNSQuestion) {
        guard let found = lookups.removeValue(forKey: question) else { return }
        var told = outcome
        if case .answered(let answer) = outcome, found.begun == timesForgotten {
            told = .answered(cache.keep(answer, to: question, now: Instant(nanoseconds: loop.now)))
        }
        for asker in found.askers {
            waiting[asker.place] = nil
            places.remove(asker.place)
        }
        for asker in found.askers { asker.tell(told) }
    }

    /// Clears the cache; answers that are still under way are not kept.
    func forget() {
        cache = DNSCache()
        timesForgotten += 1
    }

    private static func answer(_ query: DNSQuery, _ known: DNSQuestion.Known, overUDP: Bool) -> [UInt8] {
        switch known {
        case .node: return query.answer(.refused, reason: .nodeName, overUDP: overUDP)
        case .noSuchName: return query.answer(.nameError, overUDP: overUDP)
        case .address(let address):
            let records = address.map { [RecordsReply.Record(timeToLive: 300, data: RecordData.of($0))] }
            return query.answer(.noError, records: records ?? [], overUDP: overUDP)
        }
    }

    private static func answer(_ query: DNSQuery, _ outcome: RecordsLookup.Outcome, overUDP: Bool) -> [UInt8] {
        switch outcome {
        case .none: query.answer(.serverFailure, reason: .noExit, overUDP: overUDP)
        case .answered(.found(let records)): query.answer(.noError, records: records, overUDP: overUDP)
        case .answered(.failed(let status)):
            switch status {
            case .hostNotFound: query.answer(.nameError, overUDP: overUDP)
            case .notAllowed: query.answer(.refused, reason: .forbidden, overUDP: overUDP)
            case .timeout, .generalFailure, .hostUnreachable, .networkUnreachable, .refused:
                query.answer(.serverFailure, reason: .noServer, overUDP: overUDP)
            case .ok, .tooManyStreams: query.answer(.serverFailure, overUDP: overUDP)
            }
        }
    }

    /// Closes the port and its connections.
    func close() {
        socket?.close()
        listener?.close()
        for connection in connections.values { connection.close() }
        socket = nil
        listener = nil
    }
}
