public import EventLoop

/// Answers requests on a unix socket: one line of JSON each way, any number per connection.
///
/// Root and this user may use all commands, members of `group` those with ``ControlCommand/isLook``, others none.
/// Connections, the length of a line, and the time to send a request or read its reply are limited. All who may not use
/// all commands have half of the connections together.
public final class ControlServer {
    private let loop: Loop
    private let group: ControlGroup?
    private let provider: (ControlCommand, String?) -> ControlReply
    private var listener: StreamListener?
    private var connections: [ObjectIdentifier: Connection] = [:]

    /// Listens at `path`; replaces a socket file without a listener.
    ///
    /// `provider` is called on the loop, once per request, with the command and its argument. Without a `group` only
    /// this user can use the file (mode 0600), otherwise also the group (mode 0660).
    public init(
        on loop: Loop, path: String, group: ControlGroup? = nil,
        provider: @escaping (ControlCommand, String?) -> ControlReply
    ) throws(ControlError) {
        let length = path.utf8.count
        guard length <= ControlSocket.longestPath else { throw .pathTooLong(length) }
        self.loop = loop
        self.group = group
        self.provider = provider
        do throws(UVError) {
            listener = try StreamListener.unix(on: loop, path: path, group: group?.id) { [weak self] stream in
                guard let self else { return stream.close() }
                self.accept(stream)
            }
        } catch {
            throw error.kind == .addressInUse ? .inUse : .system(error)
        }
    }

    deinit { close() }

    /// Stops listening, closes every connection and removes the socket file; has no effect the second time.
    public func close() {
        listener?.close()
        listener = nil
        for connection in connections.values { connection.close() }
        connections = [:]
    }

    private func accept(_ stream: ByteStream) {
        guard connections.count < ControlSocket.connectionLimit else { return stream.close() }
        let rights = rights(of: stream)
        if rights != .all {
            let others = connections.values.count { $0.rights != .all }
            guard others < ControlSocket.connectionLimit / 2 else { return stream.close() }
        }
        let connection = Connection(on: loop, stream, rights, group, provider: provider) { [weak self] connection in
            self?.connections[ObjectIdentifier(connection)] = nil
        }
        connections[ObjectIdentifier(connection)] = connection
        connection.start()
    }

    private func rights(of stream: ByteStream) -> ControlRights {
        let isMember = { [group] in group.map { stream.isPeer(inGroup: $0.id) } ?? false }
        return .of(user: stream.peerUser, own: ByteStream.ownUser, hasGroup: group != nil, isMember: isMember)
    }
}

/// One connection of the server.
private final class Connection: ByteStreamDelegate {
    private let loop: Loop
    private let stream: ByteStream
    let rights: ControlRights
    private let group: ControlGroup?
    private let provider: (ControlCommand, String?) -> ControlReply
    private let onEnd: (Connection) -> Void
    private var buffer: LineBuffer
    private var deadline: LoopTimer?
    private var hasPeerEnded = false
    private var isAnswering = false
    private var isClosed = false

    init(
        on loop: Loop, _ stream: ByteStream, _ rights: ControlRights, _ group: ControlGroup?,
        provider: @escaping (ControlCommand, String?) -> ControlReply, onEnd: @escaping (Connection) -> Void
    ) {
        self.loop = loop
        self.stream = stream
        self.rights = rights
        let longest = ControlSocket.longestRequest
        buffer = LineBuffer(limit: rights == .all ? longest.all : longest.look)
        self.group = group
        self.provider = provider
        self.onEnd = onEnd
    }

    func start() {
        stream.delegate = self
        deadline = LoopTimer(on: loop) { [weak self] in self?.end() }
        extendDeadline()
        stream.startReading()
    }

    func close() {
        isClosed = true
        deadline?.close()
        stream.close()
    }

    private func end() {
        close()
        onEnd(self)
    }

    private func extendDeadline() { deadline?.schedule(at: loop.now + ControlSocket.idleLimit) }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        buffer.append(bytes)
        answerWaiting()
    }

    func streamReachedEnd(_ stream: ByteStream) {
        hasPeerEnded = true
        answerWaiting()
    }

    func streamDrained(_ stream: ByteStream) {
        isAnswering = false
        stream.startReading()
        answerWaiting()
    }

    func stream(_ stream: ByteStream, failed error: UVError) { end() }

    func streamFinishedWriting(_ stream: ByteStream) { end() }

    /// Answers the waiting requests, each after the last reply was sent.
    private func answerWaiting() {
        while !isAnswering, let line = buffer.next() {
            switch ControlLine.answer(to: line, from: provider, rights, group) {
            case .line(let bytes):
                guard send(bytes) else { return }
                extendDeadline()
            case .later(let deferred): wait(for: deferred)
            }
        }
        guard !isAnswering else { return }
        if buffer.isOverlong {
            stream.stopReading()
            guard send(ControlLine.encode(ControlRefusal(error: "the request is too long"))) else { return }
            stream.shutdown()
        } else if hasPeerEnded {
            stream.shutdown()
        }
    }

    /// Waits for an answer, and takes no other request until then.
    private func wait(for deferred: DeferredReply) {
        isAnswering = true
        stream.stopReading()
        deadline?.schedule(at: loop.now + ControlSocket.answerLimit)
        deferred.receive { [weak self] reply in
            guard let self, !isClosed, let line = ControlLine.encode(reply) else { return }
            isAnswering = false
            stream.startReading()
            guard send(line) else { return }
            extendDeadline()
            answerWaiting()
        }
    }

    /// Writes a reply; false if the connection is gone.
    private func send(_ reply: [UInt8]) -> Bool {
        do throws(UVError) {
            try stream.write(reply)
        } catch {
            end()
            return false
        }
        isAnswering = stream.queuedBytes > 0
        if isAnswering { stream.stopReading() }
        return true
    }
}
