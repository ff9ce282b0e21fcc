internal import Wire

/// What other workers answer, and what else worker 0 has to do with their halves of paths.
extension ForwardingTable {
    /// Takes the answer of another worker.
    public mutating func answered(_ answer: HalfAnswer) -> PathProgress {
        switch answer.kind {
        case .addedForward(let path, let half):
            guard let record = unsafe register.find(path) else {
                if let half { removeForward(half) }
                return .none
            }
            guard let half else { return .refused(path) }
            unsafe record.pointee.forward = half
            return unsafe record.pointee.stands ? .stands(path) : .none
        case .addedBackward(let path, let half):
            guard let record = unsafe register.find(path) else {
                if let half { removeBackward(half) }
                return .none
            }
            guard let half else { return .refused(path) }
            unsafe record.pointee.backward = half
            return unsafe record.pointee.stands ? .stands(path) : .none
        case .connectedForward(let path):
            guard let record = unsafe register.find(path) else { return .none }
            unsafe record.pointee.forward.state = .ready
            return unsafe record.pointee.isConnected ? .connected(path) : .none
        case .connectedBackward(let path):
            guard let record = unsafe register.find(path) else { return .none }
            unsafe record.pointee.backward.state = .ready
            return unsafe record.pointee.isConnected ? .connected(path) : .none
        case .found(let path, let link): return register.isLive(path) ? .found(path, link: link) : .none
        }
    }

    /// Takes what has passed over other workers' halves; see ``PathHalves/report(now:limit:)``.
    public mutating func passed(_ reports: [HalfReport]) {
        for report in reports {
            guard let record = unsafe register.find(report.path) else { continue }
            unsafe record.pointee.reported &+= report.passed
        }
    }

    /// The path that has the id `pathID` on `link`, where its half is this worker's.
    ///
    /// Otherwise the worker that the id names is asked, and its answer leads to ``PathProgress/found(_:link:)`` if
    /// there is one.
    public func ask(link: UInt32, pathID: UInt64) -> PathHandle? {
        let worker = PathID.worker(of: pathID)
        guard worker != halves.worker else { return handle(link: link, pathID: pathID) }
        if worker < workers { order(worker, HalfOrder(kind: .find(link: link, pathID: pathID))) }
        return nil
    }

    /// Removes a half that stands, with its worker.
    mutating func removeForward(_ half: HalfPlace) {
        guard half.worker != halves.worker else { return halves.removeForward(half) }
        order(half.worker, HalfOrder(kind: .removeForward(half)))
    }

    /// Removes a half that stands, with its worker.
    mutating func removeBackward(_ half: HalfPlace) {
        guard half.worker != halves.worker else { return halves.removeBackward(half) }
        order(half.worker, HalfOrder(kind: .removeBackward(half)))
    }
}
