internal import CSQLite
internal import Synchronization

/// Ends a long read of a database from another thread.
public final class Interruption: Sendable {
    private struct State {
        var isSet = false
        /// The connection that reads; it is open while it is here.
        var connection: Connection?
    }

    /// `@unchecked Sendable`: SQLite allows an interruption from any thread while the connection is open.
    @safe
    private struct Connection: @unchecked Sendable {
        let handle: OpaquePointer
    }

    private let state = Mutex(State())

    /// One that is not set.
    public init() {}

    /// Whether the read has to end.
    public var isSet: Bool { state.withLock { $0.isSet } }

    /// Ends the read, and all later ones.
    public func set() {
        state.withLock { state in
            state.isSet = true
            // A walk over a table asks nothing on its way before SQLite 3.41.
            if let connection = state.connection { unsafe sqlite3_interrupt(connection.handle) }
        }
    }

    /// Lets ``set()`` end what the connection reads from now on; nil: nothing.
    func attach(_ handle: OpaquePointer?) {
        state.withLock { $0.connection = unsafe handle.map { unsafe Connection(handle: $0) } }
    }
}
