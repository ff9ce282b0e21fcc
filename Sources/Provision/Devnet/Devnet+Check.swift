internal import EventLoop

extension Devnet.Options {
    /// Throws if no network can have these values.
    package func check() throws(ChoiceFault) {
        let epoch = registry.epoch
        let credit = registry.testCredit ?? 1
        guard 1...100 ~= nodes else { throw ChoiceFault("--nodes \(nodes): use 1 to 100") }
        guard 1...DatagramGroup.mostWorkers ~= workers else {
            throw ChoiceFault("--workers \(workers): use 1 to \(DatagramGroup.mostWorkers)")
        }
        guard 1...604_800 ~= epoch else { throw ChoiceFault("--epoch \(epoch): use 1 to 604800 seconds") }
        guard 1...86_400 ~= credit else { throw ChoiceFault("--credit \(credit): use 1 to 86400 seconds") }
        guard hops <= nodes else {
            throw ChoiceFault("--hops \(hops) needs as many nodes, but --nodes is \(nodes)")
        }
        guard 1...nodes ~= exits else {
            throw ChoiceFault("--exits \(exits): use 1 to \(nodes), the number of nodes")
        }
    }
}
