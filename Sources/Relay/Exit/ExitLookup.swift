internal import DNSProtocol
internal import EventLoop
internal import Sessions
internal import Wire

/// A stream that asks for a look-up.
///
/// The answer ends it.
///
/// The name appears in no log.
final class ExitLookup: StreamUser {
    /// Looks up addresses, names and records.
    struct Service: StreamService {
        let exit: Exit

        func open(_ request: OpenRequest, on stream: HostedStream) -> (any StreamUser)? {
            let lookup = ExitLookup(stream, exit)
            lookup.begin(request)
            return lookup
        }
    }

    /// The times to live that clients get, in seconds: one for records that live less than `long`, one for all others.
    ///
    /// The real ones would show when another client asked (protocol.md, section 7.1).
    private static let timesToLive: (short: UInt32, long: UInt32) = (60, 300)

    private let exit: Exit
    private let stream: HostedStream
    private var query: ExitResolver.Query?
    private var deadline: LoopTimer?

    private init(_ stream: HostedStream, _ exit: Exit) {
        self.stream = stream
        self.exit = exit
    }

    private func begin(_ request: OpenRequest) {
        deadline = LoopTimer(on: exit.loop) { [weak self] in self?.refuse(.timeout) }
        deadline?.schedule(at: (Instant(nanoseconds: exit.loop.now) + Exit.openLimit).nanoseconds)
        switch request.destination.host {
        case .address(let address): lookUpName(of: address)
        case .name(let name) where request.kind == .records:
            let type = RecordType(rawValue: request.destination.port)
            ask(for: type, of: name) { [unowned self] in tell($0, type) }
        case .name(let name): lookUp(name)
        }
    }

    /// Stores the query whose answer is awaited, or refuses if the session has no query left.
    private func wait(for query: ExitResolver.Query?) {
        guard let query else { return refuse(.generalFailure) }
        self.query = query
    }

    private func lookUp(_ name: HostName) {
        wait(
            for: exit.resolver.resolve(name, port: 0, for: stream.share) { [weak self] answer in
                guard let self, !stream.isOver else { return }
                query = nil
                switch answer {
                case .success(let addresses): tell(addresses)
                case .failure(let error): refuse(.init(error))
                }
            })
    }

    /// Answers with the first address that the policy allows, so that addresses of the exit's own network are not
    /// revealed.
    private func tell(_ addresses: [SocketAddress]) {
        let found = addresses.lazy.map { IPAddress(high: $0.high, low: $0.low) }.first { self.exit.policy.answers($0) }
        guard let found else { return refuse(.notAllowed) }
        end(with: LookupReply.encoded(found: .address(found)))
    }

    private func lookUpName(of address: IPAddress) {
        guard exit.policy.answers(address) else { return refuse(.notAllowed) }
        // The owner of a public address can make its name an alias of one in the exit's own network.
        guard !address.leadsToPublic else { return lookUpPublicName(of: address) }
        let asked = SocketAddress(high: address.high, low: address.low, port: 0)
        wait(
            for: exit.resolver.name(of: asked, for: stream.share) { [weak self] answer in
                guard let self, !stream.isOver else { return }
                query = nil
                switch answer {
                case .success(let text):
                    guard let name = HostName(text) else { return refuse(.hostNotFound) }
                    end(with: LookupReply.encoded(found: .name(name)))
                case .failure(let error): refuse(.init(error))
                }
            })
    }

    private func lookUpPublicName(of address: IPAddress) {
        ask(for: .ptr, of: RecordData.reverseName(of: address)) { [unowned self] records in
            guard let name = records.first.flatMap({ RecordData.name($0.data) }) else { return refuse(.hostNotFound) }
            end(with: LookupReply.encoded(found: .name(name)))
        }
    }

    private func ask(for type: RecordType, of name: HostName, then tell: @escaping ([RecordsReply.Record]) -> Void) {
        guard type.isCarried else { return refuse(.generalFailure) }
        guard mayTell(type, of: name) else { return refuse(.notAllowed) }
        wait(
            for: exit.resolver.records(of: name, type: type.rawValue, for: stream.share) { [weak self] answer in
                guard let self, !stream.isOver else { return }
                query = nil
                switch answer {
                case .success(let message):
                    let found = NameServerAnswer.records(of: name, type: type, in: message.rawSpan) {
                        self.mayTell(type, of: $0)
                    }
                    guard let found else { return refuse(.generalFailure) }
                    tell(found)
                case .failure(let error): refuse(.init(error))
                }
            })
    }

    /// Whether records of this type and name say nothing about the exit's own network, apart from their addresses.
    private func mayTell(_ type: RecordType, of name: HostName) -> Bool {
        if type == .a || type == .aaaa { return true }
        if let address = RecordData.address(named: name) { return exit.policy.answers(address) }
        return LocalName(name) == nil && !LocalName.isOfOwnNetwork(name)
    }

    /// Answers with the records, except those with addresses that the policy does not allow.
    ///
    /// So addresses of the exit's own network are not revealed.
    private func tell(_ records: [RecordsReply.Record], _ type: RecordType) {
        let allowed = records.filter { record in
            RecordData.addresses(record.data, of: type).allSatisfy(exit.policy.answers)
        }
        guard !allowed.isEmpty || records.isEmpty else { return refuse(.notAllowed) }
        let (short, long) = Self.timesToLive
        let told = allowed.map {
            RecordsReply.Record(timeToLive: $0.timeToLive < long ? short : long, data: $0.data)
        }
        end(with: RecordsReply(.found(told)).encoded())
    }

    // MARK: Ends

    private func refuse(_ status: OpenReply.Status) {
        stream.refuse(status)
        finish()
    }

    private func end(with answer: [UInt8]) {
        stream.end(with: answer)
        finish()
    }

    private func abandon() {
        stream.abandon()
        finish()
    }

    private func finish() {
        if let query { exit.resolver.cancel(query) }
        query = nil
        deadline?.close()
        deadline = nil
        stream.finish()
    }

    // MARK: Events

    func streamReadable() {}
    func streamWritable() {}
    func streamReset(code: UInt64) { abandon() }
    func streamStopped(code: UInt64) { abandon() }
    func streamClosed() { abandon() }
    func sessionEnded() { abandon() }
}
