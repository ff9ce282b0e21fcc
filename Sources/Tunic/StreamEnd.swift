internal import Client
internal import Wire

/// One stream and the requests that wait for it, on the client's thread.
final class StreamEnd: AppStreamUser {
    /// The most bytes of datagrams that wait for a `receive`; each counts ``datagramCost`` and its own bytes.
    private static let datagramBytes = 512 << 10
    private static let datagramCost = 256

    var stream: AppStream?
    private var opening: Reply<Void>?
    private var reading: (limit: Int, operation: Operation, reply: Reply<[UInt8]>)?
    private var writing: (bytes: [UInt8], offset: Int, operation: Operation, reply: Reply<Void>)?
    private var receiving: (operation: Operation, reply: Reply<TunicDatagram>)?
    private var datagrams: [TunicDatagram] = []
    private var heldBytes = 0
    /// Whether our half ends after the bytes that are being written.
    private var isFinished = false
    /// Why writing has failed; nil as long as it works.
    private var writeFailure: TunicError?
    /// The end of the stream: its failure, or nil inside if both halves are done; nil while it is open.
    private var failure: TunicError??

    init(_ opening: @escaping Reply<Void>) { self.opening = opening }

    // MARK: Reading

    func read(_ limit: Int, _ operation: Operation, _ reply: @escaping Reply<[UInt8]>) {
        guard reading == nil else { return reply(.failure(.busy)) }
        reading = (limit, operation, reply)
        advanceReading()
    }

    private func advanceReading() {
        guard let (limit, _, reply) = reading else { return }
        let bytes = stream?.read(limit) ?? []
        if bytes.isEmpty {
            if case .some(.some(let failure)) = failure {
                reading = nil
                return reply(.failure(failure))
            }
            guard failure != nil || stream?.hasEnded == true else { return }
        }
        reading = nil
        reply(.success(bytes))
    }

    // MARK: Writing

    func write(_ bytes: [UInt8], _ operation: Operation, _ reply: @escaping Reply<Void>) {
        guard writing == nil else { return reply(.failure(.busy)) }
        guard !isFinished else { return reply(.failure(.closed)) }
        writing = (bytes, 0, operation, reply)
        advanceWriting()
    }

    private func advanceWriting() {
        guard let (bytes, offset, operation, reply) = writing else { return }
        if let failure {
            writing = nil
            return reply(.failure(failure ?? .closed))
        }
        if let writeFailure {
            writing = nil
            return reply(.failure(writeFailure))
        }
        let taken = stream?.write(bytes.rawSpan.extracting(offset..<bytes.count)) ?? 0
        guard offset + taken == bytes.count else {
            writing = (bytes, offset + taken, operation, reply)
            return
        }
        writing = nil
        if isFinished { stream?.finish() }
        reply(.success(()))
    }

    /// Ends our half after the bytes that are being written.
    func finish() {
        isFinished = true
        if writing == nil { stream?.finish() }
    }

    // MARK: Datagrams

    func send(_ bytes: [UInt8], to peer: Destination, _ reply: Reply<Void>) {
        if let failure { return reply(.failure(failure ?? .closed)) }
        if let refusal = stream?.failure(of: peer) { return reply(.failure(TunicError(refusal))) }
        reply(stream?.send(bytes.rawSpan, to: peer) == true ? .success(()) : .failure(.notSent))
    }

    func receive(_ operation: Operation, _ reply: @escaping Reply<TunicDatagram>) {
        guard receiving == nil else { return reply(.failure(.busy)) }
        if !datagrams.isEmpty {
            let next = datagrams.removeFirst()
            heldBytes -= Self.cost(of: next)
            return reply(.success(next))
        }
        if let failure { return reply(.failure(failure ?? .closed)) }
        receiving = (operation, reply)
    }

    private static func cost(of datagram: TunicDatagram) -> Int { datagramCost + datagram.data.count }

    // MARK: Ends

    /// Ends an operation whose task was cancelled; other operations are not affected.
    func cancel(_ operation: Operation) {
        if let reading, reading.operation == operation {
            self.reading = nil
            reading.reply(.failure(.cancelled))
        }
        if let writing, writing.operation == operation {
            self.writing = nil
            if isFinished { stream?.finish() }
            writing.reply(.failure(.cancelled))
        }
        if let receiving, receiving.operation == operation {
            self.receiving = nil
            receiving.reply(.failure(.cancelled))
        }
    }

    /// Closes the stream and fails its operations.
    func end(_ error: TunicError) {
        stream?.close()
        failure = .some(error)
        opening?(.failure(error))
        opening = nil
        let (reading, writing, receiving) = (self.reading, self.writing, self.receiving)
        (self.reading, self.writing, self.receiving) = (nil, nil, nil)
        reading?.reply(.failure(error))
        writing?.reply(.failure(error))
        receiving?.reply(.failure(error))
    }

    // MARK: Stream

    func streamOpened(_ stream: AppStream) {
        opening?(.success(()))
        opening = nil
    }

    func streamReadable(_ stream: AppStream) { advanceReading() }
    func streamWritable(_ stream: AppStream) { advanceWriting() }

    func streamStopped(_ stream: AppStream) {
        writeFailure = .broken
        advanceWriting()
    }

    func stream(_ stream: AppStream, received data: [UInt8], from peer: Destination) {
        let datagram = TunicDatagram(peer, data)
        if let receiving {
            self.receiving = nil
            receiving.reply(.success(datagram))
        } else if heldBytes + Self.cost(of: datagram) <= Self.datagramBytes {
            heldBytes += Self.cost(of: datagram)
            datagrams.append(datagram)
        }
    }

    func streamEnded(_ stream: AppStream, _ failure: AppStream.Failure?) {
        let error = failure.map { TunicError($0) }
        self.failure = .some(error)
        opening?(.failure(error ?? .closed))
        opening = nil
        advanceReading()
        advanceWriting()
        if let receiving {
            self.receiving = nil
            receiving.reply(.failure(error ?? .closed))
        }
    }
}
