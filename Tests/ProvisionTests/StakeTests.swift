import Control
import OnionCrypto
import Process
import Registry
import Testing
import Wire

@testable import Provision

private let network = Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan)

/// A relay's report of an account.
private func report(
    of account: String, network: Bytes32 = network, height: UInt64 = 100, nonce: UInt64 = 3
) -> AccountReport {
    AccountReport(
        account: account, network: hexadecimal(network.array), height: height, balance: 10, rewards: 0, nonce: nonce,
        operationFee: 5, stakes: [], locked: [])
}

@Suite struct StakeTests {
    /// A wallet, and the ticket of its account, in `folder`.
    private func wallet(
        _ folder: Folder, _ change: (inout StakeTicket) -> Void = { _ in }
    ) throws -> (wallet: String, ticket: String, account: String) {
        let path = "\(folder.path)/wallet.key"
        let account =
            Files.exists(path)
            ? try Keys.account(at: path, passphrase: nil) : try Keys.makeAccount(at: path, passphrase: nil)
        var ticket = StakeTicket(report(of: account))
        change(&ticket)
        return (path, try folder.write("state.json", Array(json(ticket).utf8)), account)
    }

    private func signer(_ wallet: String, _ ticket: String, valid: UInt64 = 720) throws -> StakeSigner {
        try StakeSigner(wallet: wallet, passphrase: nil, by: .file(ticket), valid: valid)
    }

    @Test func aWalletSignsByItsTicketAlone() throws {
        let folder = try Folder()
        let (wallet, ticket, account) = try wallet(folder)
        let signer = try signer(wallet, ticket, valid: 20)
        let operation = signer.sign(.claim)
        #expect(hexadecimal(operation.account.key.array) == account)
        #expect(operation.network == network)
        #expect(operation.nonce == 3)
        #expect(operation.until == 120 && signer.until == 120)
        #expect(signer.cost(of: operation) == 5)
        let node = NodeID(SigningKey().publicKey)
        #expect(signer.cost(of: signer.sign(.leave(node: node))) == 0)
        // The printed operation is read back as it was signed.
        let signed = try folder.write("op.json", Array(json(SignedOperation(what: "claim", operation)).utf8))
        #expect(try SignedOperation.read(signed) == operation)
    }

    @Test func aHeightBeyondAllIsTheLast() throws {
        let folder = try Folder()
        let (wallet, ticket, _) = try wallet(folder) { $0.height = .max - 5 }
        #expect(try signer(wallet, ticket).until == .max)
    }

    @Test func anotherAccountsTicketIsRefused() throws {
        let folder = try Folder()
        let other = String(repeating: "0", count: 64)
        let (wallet, ticket, account) = try wallet(folder) { $0.account = other }
        let found = failure { _ = try signer(wallet, ticket) }
        #expect(found?.code == .data)
        #expect(found?.message == "\(ticket) is for the account \(other), and \(wallet) is that of \(account)")
        let (_, capitals, _) = try self.wallet(folder) { $0.account = account.uppercased() }
        _ = try signer(wallet, capitals)
    }

    @Test func whatIsNoTicketIsRefused() throws {
        let folder = try Folder()
        let (wallet, _, _) = try wallet(folder)
        for text in ["", "{}", "{\"account\": 5}", "no JSON"] {
            let path = try folder.write("ticket.json", Array(text.utf8))
            let found = failure { _ = try signer(wallet, path) }
            #expect(found?.code == .data)
            #expect(found?.message.hasPrefix("\(path) is not an output of 'tunic stake state'") == true)
        }
        let (_, ticket, _) = try self.wallet(folder) { $0.network = "12" }
        #expect(failure { _ = try signer(wallet, ticket) }?.message == "no network is named")
        #expect(failure { _ = try signer(wallet, "\(folder.path)/none") }?.code == .noInput)
    }

    /// A node agrees to its registration, and the wallet signs it elsewhere.
    @Test func aNodeAgreesToItsTermsAlone() throws {
        let folder = try Folder()
        let (wallet, _, account) = try wallet(folder)
        let node = SigningKey()
        let agreed = try StakeTicket(report(of: account)).agreed(by: node, fee: 1_000, stake: 50)
        let path = try folder.write("proof.json", Array(json(agreed).utf8))
        let read = try StakeTicket.read(path)
        let registration = try read.registered(fee: nil, stake: 50, path)
        #expect(registration.node == NodeID(node.publicKey))
        #expect(registration.fee == 1_000 && registration.stake == 50)
        let operation = try signer(wallet, path).sign(registration.action)
        // The operation is the same as one for which both keys are at hand.
        let together = try signer(wallet, path).register(node, fee: 1_000, stake: 50)
        #expect(operation.action == together.action)
        #expect(try RegistryOperation(decoding: operation.encoded().rawSpan) == operation)
        for (fee, stake) in [(999, nil), (nil, 51)] as [(UInt16?, UInt64?)] {
            let found = failure { _ = try read.registered(fee: fee, stake: stake, path) }
            #expect(found?.message == "\(path) has another fee or stake than the given ones")
        }
        let without = failure { _ = try StakeTicket(report(of: account)).registered(fee: nil, stake: nil, path) }
        #expect(without?.message == "\(path) has no proof of a node; make it with 'tunic stake proof' on the node")
        var short = agreed
        short.registration?.proof = "00"
        #expect(failure { _ = try short.registered(fee: nil, stake: nil, path) } != nil)
        short.registration?.node = "nobody"
        #expect(failure { _ = try short.registered(fee: nil, stake: nil, path) } != nil)
    }

    @Test func anOperationIsForItsNetworkHeightAndTurn() throws {
        let folder = try Folder()
        let (wallet, ticket, account) = try wallet(folder)
        let operation = try signer(wallet, ticket, valid: 20).sign(.claim)
        try operation.check(against: report(of: account), "op.json")
        try operation.check(against: report(of: account, height: 119), "op.json")
        let other = Bytes32(copying: [UInt8](repeating: 8, count: 32).rawSpan)
        for (report, words) in [
            (report(of: account, network: other), "op.json is signed for another network than the relay's"),
            (
                report(of: account, height: 120),
                "op.json was for blocks up to 120, and the newest is 120: sign it again"
            ),
            (
                report(of: account, nonce: 4),
                "op.json is signed as operation 3 of its account, whose next is 4: sign it"
            ),
            (report(of: account, nonce: 2), "op.json is signed as operation 3 of its account, whose next is 2"),
        ] {
            let found = failure { try operation.check(against: report, "op.json") }
            #expect(found?.code == .data)
            #expect(found?.message.hasPrefix(words) == true, "\(found?.message ?? "")")
        }
    }

    @Test func whatIsNoSignedOperationIsRefused() throws {
        let folder = try Folder()
        for text in ["{}", "{\"what\": \"x\", \"operation\": \"zz\"}", "{\"what\": \"x\", \"operation\": \"0011\"}"] {
            let path = try folder.write("op.json", Array(text.utf8))
            let found = failure { _ = try SignedOperation.read(path) }
            #expect(found?.code == .data)
            #expect(found?.message.hasPrefix("\(path) is not a signed operation") == true)
        }
    }

    @Test func aRuleThatStandsAgainstItIsExplained() {
        let refused = OperationReport(operation: "", state: .refused, rule: "notOperator")
        #expect(
            Failure.refused(refused).message
                == "refused by the rule notOperator; only the account that registered the node may do this")
        let unknown = OperationReport(operation: "", state: .refused, rule: "new")
        #expect(Failure.refused(unknown).message == "refused by the rule new")
        #expect(Failure.refused(OperationReport(operation: "", state: .refused)).message == "refused by the rule -")
    }
}
