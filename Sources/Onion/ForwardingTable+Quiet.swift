/// Lists all paths and the unused ones, for a node that is about to stop.
extension ForwardingTable {
    /// All paths.
    public var paths: [PathHandle] { (0..<UInt32(capacity)).filter { isLive($0) }.map { handle($0) } }

    /// The paths over which nothing has passed, either way, since the last call; `marks` is its state, empty at first.
    ///
    /// It leaves out new paths and those whose next hop has not answered yet.
    public func quietPaths(since marks: inout [PathHandle: UInt64]) -> [PathHandle] {
        var present: [PathHandle: UInt64] = [:]
        present.reserveCapacity(count)
        var quiet: [PathHandle] = []
        for index in 0..<UInt32(capacity) where isLive(index) {
            let hop = unsafe pathPointer(index)
            guard unsafe hop.pointee.isReady else { continue }
            let path = handle(index)
            let passed = unsafe hop.pointee.passing
            if marks[path] == passed { quiet.append(path) }
            present[path] = passed
        }
        marks = present
        return quiet
    }
}
