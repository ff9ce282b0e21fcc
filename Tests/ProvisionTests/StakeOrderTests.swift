import Control
import OnionCrypto
import Process
import Registry
import Testing
import Wire

@testable import Provision

/// A relay that accepts or refuses every operation.
private final class Relay: OperationTaker {
    var submitted: [RegistryOperation] = []
    var tried: [RegistryOperation] = []
    let refusal: Failure?

    init(refusal: Failure? = nil) { self.refusal = refusal }

    func handIn(_ operation: RegistryOperation) throws(Failure) -> OperationReport {
        if let refusal { throw refusal }
        submitted.append(operation)
        return OperationReport(operation: "", state: .applied, height: 9)
    }

    func dryRun(_ operation: RegistryOperation) throws(Failure) -> OperationReport {
        if let refusal { throw refusal }
        tried.append(operation)
        return OperationReport(operation: "", state: .waiting)
    }
}

@Suite struct StakeOrderTests {
    /// A wallet that signs for blocks up to 120, with an operation fee of 5 units.
    private func signer(_ folder: Folder) throws -> StakeSigner {
        let path = "\(folder.path)/wallet.key"
        let account = try Keys.makeAccount(at: path, passphrase: nil)
        let report = AccountReport(
            account: account, network: String(repeating: "07", count: 32), height: 100, balance: 10, rewards: 0,
            nonce: 3,
            operationFee: 5, stakes: [], locked: [])
        let ticket = try folder.write("state.json", Array(json(StakeTicket(report)).utf8))
        return try StakeSigner(wallet: path, passphrase: nil, by: .file(ticket), valid: 20)
    }

    @Test func aRelaySubmitsIt() throws {
        let folder = try Folder()
        let signer = try signer(folder)
        let relay = Relay()
        let operation = signer.sign(.claim)
        let outcome = try StakeOrder(.submit(relay), isJSON: false) { _ in }
            .run("claim the rewards", asks: false, operation, by: signer)
        #expect(outcome == .init(text: "done, in block 9, for a fee of 0.000000005 SESH", height: 9))
        #expect(relay.submitted == [operation] && relay.tried.isEmpty)
        let asJSON = try StakeOrder(.submit(relay), isJSON: true) { _ in }.run("", asks: false, operation, by: signer)
        #expect(asJSON.text.hasPrefix("{") && asJSON.text.contains("\"height\":9"))
    }

    @Test func theUserIsAskedFirst() throws {
        let folder = try Folder()
        let signer = try signer(folder)
        let relay = Relay()
        var questions: [String] = []
        let order = StakeOrder(.submit(relay), isJSON: false) { (what) throws(Failure) in
            questions.append(what)
            throw Failure(.usage, "nothing was done")
        }
        let operation = signer.sign(.leave(node: NodeID(SigningKey().publicKey)))
        var found: Failure?
        do throws(Failure) {
            _ = try order.run("it leaves", asks: true, operation, by: signer)
        } catch {
            found = error
        }
        // Leaving is free, so the question names no fee.
        #expect(found?.message == "nothing was done" && questions == ["it leaves."])
        #expect(relay.submitted.isEmpty)
        _ = try order.run("it leaves", asks: false, operation, by: signer)
        #expect(relay.submitted.count == 1)
    }

    @Test func aTrialDoesNothingAndAsksNothing() throws {
        let folder = try Folder()
        let signer = try signer(folder)
        let relay = Relay()
        let order = StakeOrder(.dryRun(relay), isJSON: false) { _ in Issue.record("a question") }
        let outcome = try order.run("claim the rewards", asks: true, signer.sign(.claim), by: signer)
        #expect(
            outcome.text
                == "the rules accept it: claim the rewards, for a fee of 0.000000005 SESH; nothing was done")
        #expect(outcome.height == nil && relay.tried.count == 1 && relay.submitted.isEmpty)
        let refusing = StakeOrder(.dryRun(Relay(refusal: Failure(.data, "no"))), isJSON: false) { _ in }
        var isRefused = false
        do { _ = try refusing.run("", asks: false, signer.sign(.claim), by: signer) } catch { isRefused = true }
        #expect(isRefused)
    }

    @Test func anOfflineOperationIsPrinted() throws {
        let folder = try Folder()
        let signer = try signer(folder)
        let operation = signer.sign(.claim)
        let outcome = try StakeOrder(.offline, isJSON: false) { _ in }
            .run("claim the rewards", asks: true, operation, by: signer)
        #expect(outcome.height == nil && outcome.text.contains("claim the rewards, for blocks up to 120"))
        let path = try folder.write("op.json", Array(outcome.text.utf8))
        #expect(try SignedOperation.read(path) == operation)
    }
}
