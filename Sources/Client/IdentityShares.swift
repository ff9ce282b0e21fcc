internal import EventLoop
internal import Links
internal import Wire

/// Who asks for an identity.
enum KeyOwner: Hashable {
    /// The user of a process on this machine.
    case user(UInt32)
    /// A process on this machine whose user is not known.
    case machine
    /// An address of another machine.
    case address(AddressShare)

    /// The user, if it is one of this machine and the kernel told.
    var user: UInt32? { if case .user(let user) = self { user } else { nil } }

    /// The owner of an app's connection, by what the kernel tells at this moment.
    static func of(_ socket: ByteStream) -> KeyOwner {
        .of(
            user: socket.localUser, from: socket.remoteAddress.map { Endpoint($0).address },
            to: socket.localAddress.map { Endpoint($0).address })
    }

    /// The owner of a connection of `user` from `address` to `port`; a unix socket has neither of the two.
    ///
    /// A process can connect from each address of 127.0.0.0/8, and have the kernel forget its user by closing its end.
    /// So the machine's own addresses are one owner.
    static func of(user: UInt32?, from address: IPAddress?, to port: IPAddress?) -> KeyOwner {
        if let user { return .user(user) }
        guard let address, !address.isLoopback, address != port else { return .machine }
        return .address(AddressShare(address))
    }
}

/// How many identities each owner has, each kind of an owner's keys, and each source of a kind.
///
/// A source is an app, by all of its keys (``IsolationKey/source``). Any app can have as many sources as it likes, by
/// its user names and passwords. So the sources with credentials are one kind at a listener, and those of one owner
/// share what another owner does not use.
struct IdentityShares {
    /// Keys of one owner that differ in their credentials alone.
    struct Kind: Hashable {
        let owner: KeyOwner?
        private let key: IsolationKey
        private let hasCredentials: Bool

        init(of key: IsolationKey) {
            owner = key.owner.value
            hasCredentials = key.credentials != nil
            var key = key.source
            key.credentials = nil
            self.key = key
        }
    }

    /// All keys of one app.
    struct Source: Hashable {
        let kind: Kind
        private let key: IsolationKey

        init(of key: IsolationKey) {
            kind = Kind(of: key)
            self.key = key.source
        }
    }

    /// What a key's owner, kind and source have; those with less are served first.
    struct Size: Comparable {
        let owner: Int
        let kind: Int
        let source: Int

        static func < (a: Size, b: Size) -> Bool { (a.owner, a.kind, a.source) < (b.owner, b.kind, b.source) }
    }

    private var owners: [KeyOwner?: Int] = [:]
    private var kinds: [Kind: Int] = [:]
    private var sources: [Source: Int] = [:]

    /// The shares of those who have an identity for each of `keys`.
    init(_ keys: some Sequence<IsolationKey>) {
        for key in keys {
            let source = Source(of: key)
            owners[source.kind.owner, default: 0] += 1
            kinds[source.kind, default: 0] += 1
            sources[source, default: 0] += 1
        }
    }

    /// What those of `key` have.
    func size(of key: IsolationKey) -> Size {
        let source = Source(of: key)
        return Size(
            owner: owners[source.kind.owner, default: 0], kind: kinds[source.kind, default: 0],
            source: sources[source, default: 0])
    }

    /// The source that gives an identity up for `key`; nil if nobody has two more than those of `key`.
    ///
    /// It is the largest of the largest kind of the largest owner; of the own kind or owner where no other has two
    /// more.
    func loser(for key: IsolationKey) -> Source? {
        let own = Source(of: key)
        let size = size(of: key)
        if let most = owners.max(by: { $0.value < $1.value }), most.value >= size.owner + 2 {
            return largestKind(of: most.key).flatMap { largestSource(of: $0.key) }?.key
        }
        if let most = largestKind(of: own.kind.owner), most.value >= size.kind + 2 {
            return largestSource(of: most.key)?.key
        }
        return largestSource(of: own.kind).flatMap { $0.value >= size.source + 2 ? $0.key : nil }
    }

    private func largestKind(of owner: KeyOwner?) -> (key: Kind, value: Int)? {
        kinds.filter { $0.key.owner == owner }.max { $0.value < $1.value }
    }

    private func largestSource(of kind: Kind) -> (key: Source, value: Int)? {
        sources.filter { $0.key.kind == kind }.max { $0.value < $1.value }
    }
}
