internal import DNSProtocol
internal import EventLoop
internal import Sessions
internal import Transport
internal import Wire

/// A question to the exit for the records of a name, over a stream of its own.
final class RecordsLookup: StreamRequestOwner {
    /// The result of a look-up.
    enum Outcome {
        /// The exit has answered.
        case answered(RecordsReply.Outcome)
        /// There is no exit, or it has not answered.
        case none
    }

    private let question: DNSQuestion
    /// Whether an app may be told the address.
    private let mayTell: (IPAddress) -> Bool
    private let done: (Outcome) -> Void
    private var request: StreamRequest?

    /// A look-up for `question`; `done` is called once.
    ///
    /// Records with an address that `mayTell` refuses are left out.
    init(_ question: DNSQuestion, mayTell: @escaping (IPAddress) -> Bool, done: @escaping (Outcome) -> Void) {
        self.question = question
        self.mayTell = mayTell
        self.done = done
    }

    /// Begins to ask; `done` may be called inside this call.
    func begin(isolation: IsolationKey, on loop: Loop, from source: any SessionSource) {
        let destination = Destination(host: .name(question.name), port: question.type.rawValue)
        let request = StreamRequest(
            .records, destination, isolation: isolation, patience: .records, on: loop, from: source, for: self)
        self.request = request
        request.begin()
    }

    /// Gives the look-up up; `done` is not called any more.
    func cancel() { request?.cancel() }

    func takeEarlyBytes() -> [UInt8]? { [] }
    var endsEarly: Bool { true }
    func streamOpened(_ stream: StreamID, on session: Session, unsent: [UInt8]) {
        session.abandon(stream, code: SessionError.cancelled)
        done(.none)
    }

    func streamFound(_ result: LookupResult) {
        switch result {
        case .records(let records): done(.answered(checked(records)))
        case .host: done(.none)
        }
    }

    func streamFailed(_ failure: StreamFailure) {
        switch failure {
        case .refused(let status): done(.answered(.failed(status)))
        case .noSession, .timedOut, .broken: done(.none)
        }
    }

    /// The records without addresses that an app must not be told; a failure if one is not valid for its type.
    private func checked(_ records: [RecordsReply.Record]) -> RecordsReply.Outcome {
        let isGood = records.allSatisfy { RecordData.isValid($0.data, of: question.type) }
        guard isGood else { return .failed(.generalFailure) }
        let told = records.filter { RecordData.addresses($0.data, of: question.type).allSatisfy(mayTell) }
        return told.isEmpty && !records.isEmpty ? .failed(.notAllowed) : .found(told)
    }
}
