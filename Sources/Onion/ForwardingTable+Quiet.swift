/// Lists all paths and the unused ones, for a node that is about to stop.
extension ForwardingTable {
    /// The handles of all paths, in no order.
    public var paths: [PathHandle] { register.paths }

    /// The paths over which nothing has passed, either way, since the last call; `passedBefore` is its state, empty at
    /// first.
    ///
    /// It leaves out new paths and those whose next hop has not answered yet.
    public func quietPaths(since passedBefore: inout [PathHandle: UInt64]) -> [PathHandle] {
        var present: [PathHandle: UInt64] = [:]
        present.reserveCapacity(count)
        var quiet: [PathHandle] = []
        for path in register.paths {
            let record = unsafe register.records.pointer(path.index)
            guard unsafe record.pointee.isReady else { continue }
            let passed = unsafe passing(record.pointee)
            if passedBefore[path] == passed { quiet.append(path) }
            present[path] = passed
        }
        passedBefore = present
        return quiet
    }
}
