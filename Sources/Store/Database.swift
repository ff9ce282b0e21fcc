internal import CSQLite

/// One connection to SQLite and its prepared statements, used by one thread at a time.
///
/// No other code calls SQLite.
@safe final class Database {
    let path: String
    private let handle: OpaquePointer
    /// Prepared statements, by the address of their text, which is a literal.
    private var statements: [UInt: OpaquePointer] = unsafe [:]

    private var isClosed = false

    /// A value to bind.
    enum Value {
        case integer(Int64)
        case blob([UInt8])
        case null
    }

    init(path: String) throws(StoreError) {
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let code = unsafe sqlite3_open_v2(path, &opened, flags, nil)
        guard code == SQLITE_OK, let connection = unsafe opened else {
            unsafe sqlite3_close_v2(opened)
            throw StoreError.sqlite(code, path)
        }
        self.path = path
        unsafe handle = connection
        unsafe sqlite3_extended_result_codes(handle, 1)
        unsafe sqlite3_busy_timeout(handle, 2_000)
        // Rows are read rarely and in order: SQLite's default cache of 2 MiB would fill without use, and the kernel
        // caches the pages too.
        try execute("PRAGMA cache_size = -256")
    }

    deinit { close() }

    /// Closes the connection; later calls fail.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        unsafe statements.values.forEach { _ = unsafe sqlite3_finalize($0) }
        unsafe statements = [:]
        unsafe sqlite3_close_v2(handle)
    }

    /// Whether the write-ahead log stays when the connection is closed in order; without it nothing shows that an
    /// earlier process was killed.
    func keepLog(_ isKept: Bool) {
        guard !isClosed else { return }
        var value: Int32 = isKept ? 1 : 0
        _ = unsafe sqlite3_file_control(handle, nil, SQLITE_FCNTL_PERSIST_WAL, &value)
    }

    /// Runs `body`, whose statements fail once `interruption` is set.
    func interruptible(
        by interruption: Interruption, _ body: () throws(StoreError) -> Void
    ) throws(StoreError) {
        try checkOpen()
        let context = unsafe Unmanaged.passUnretained(interruption).toOpaque()
        unsafe sqlite3_progress_handler(handle, 1_000, isInterrupted, context)
        unsafe interruption.attach(handle)
        defer {
            unsafe interruption.attach(nil)
            unsafe sqlite3_progress_handler(handle, 0, nil, nil)
        }
        if interruption.isSet { throw .database(path: path, code: SQLITE_INTERRUPT) }
        try body()
        // SQLite may have ended a check early without an error.
        if interruption.isSet { throw .database(path: path, code: SQLITE_INTERRUPT) }
    }

    private func checkOpen() throws(StoreError) {
        if isClosed { throw .database(path: path, code: SQLITE_MISUSE) }
    }

    /// Runs statements whose results are not needed.
    func execute(_ sql: String) throws(StoreError) {
        try checkOpen()
        try check(unsafe sqlite3_exec(handle, sql, nil, nil, nil))
    }

    /// Runs a statement, which is prepared once, and calls `row` with a reader for each row.
    ///
    /// The statement is reset also after an error.
    func run(_ sql: StaticString, _ values: [Value] = [], row: (Row) -> Void = { _ in }) throws(StoreError) {
        try checkOpen()
        let statement = unsafe try prepared(sql)
        defer {
            unsafe sqlite3_reset(statement)
            unsafe sqlite3_clear_bindings(statement)
        }
        for (place, value) in values.enumerated() {
            let position = Int32(place + 1)
            switch value {
            case .integer(let number): try check(unsafe sqlite3_bind_int64(statement, position, number))
            case .null: try check(unsafe sqlite3_bind_null(statement, position))
            case .blob(let bytes):
                // -1 is SQLITE_TRANSIENT, which Swift cannot import: SQLite copies the bytes.
                let copied = unsafe unsafeBitCast(-1 as Int, to: sqlite3_destructor_type.self)
                let code =
                    bytes.isEmpty
                    ? unsafe sqlite3_bind_zeroblob(statement, position, 0)
                    : unsafe sqlite3_bind_blob64(statement, position, bytes, UInt64(bytes.count), copied)
                try check(code)
            }
        }
        while true {
            let code = unsafe sqlite3_step(statement)
            if code == SQLITE_DONE { return }
            guard code == SQLITE_ROW else { throw StoreError.sqlite(code, path) }
            unsafe row(Row(statement: statement))
        }
    }

    /// The number that the last inserted row got.
    var lastRow: Int64 { unsafe sqlite3_last_insert_rowid(handle) }
    /// How many rows the last statement has changed.
    var changedRows: Int { Int(unsafe sqlite3_changes(handle)) }

    /// Runs `body` as one transaction, which is rolled back if it throws.
    func transaction(_ body: () throws(StoreError) -> Void) throws(StoreError) {
        try run("BEGIN IMMEDIATE")
        do {
            try body()
            try run("COMMIT")
        } catch {
            try? run("ROLLBACK")
            throw error
        }
    }

    private func prepared(_ sql: StaticString) throws(StoreError) -> OpaquePointer {
        let key = unsafe UInt(bitPattern: sql.utf8Start)
        if let found = unsafe statements[key] { return unsafe found }
        var made: OpaquePointer?
        let text = unsafe UnsafeRawPointer(sql.utf8Start).assumingMemoryBound(to: CChar.self)
        try check(
            unsafe sqlite3_prepare_v3(
                handle, text, Int32(sql.utf8CodeUnitCount), UInt32(SQLITE_PREPARE_PERSISTENT), &made, nil))
        guard let statement = unsafe made else { throw .database(path: path, code: SQLITE_MISUSE) }
        unsafe statements[key] = statement
        return unsafe statement
    }

    private func check(_ code: Int32) throws(StoreError) {
        if code != SQLITE_OK { throw StoreError.sqlite(code, path) }
    }

    /// The columns of a statement's current row; valid during the call that gets it.
    @safe struct Row {
        private let statement: OpaquePointer

        fileprivate init(statement: OpaquePointer) { unsafe self.statement = statement }

        func integer(_ column: Int32) -> Int64 { unsafe sqlite3_column_int64(statement, column) }

        func blob(_ column: Int32) -> [UInt8] {
            guard let start = unsafe sqlite3_column_blob(statement, column) else { return [] }
            let count = Int(unsafe sqlite3_column_bytes(statement, column))
            return unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: count))
        }

        func text(_ column: Int32) -> String {
            guard let start = unsafe sqlite3_column_text(statement, column) else { return "" }
            return unsafe String(cString: start)
        }
    }
}

/// SQLite asks at each thousandth page or step whether to go on.
private func isInterrupted(_ context: UnsafeMutableRawPointer?) -> Int32 {
    guard let context = unsafe context else { return 0 }
    return unsafe Unmanaged<Interruption>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.isSet ? 1 : 0 }
}

extension StoreError {
    /// The error of an SQLite result code, plain or extended; common ones have their own case.
    static func sqlite(_ code: Int32, _ path: String) -> StoreError {
        // The memory shared by processes is a file beside the database that cannot grow (SQLITE_IOERR_SHMSIZE).
        if code == SQLITE_IOERR | 19 << 8 { return .diskFull(path: path) }
        return switch code & 0xff {
        case SQLITE_FULL: .diskFull(path: path)
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_CANTOPEN: .readOnly(path: path)
        case SQLITE_CORRUPT, SQLITE_NOTADB: .damaged(path: path)
        default: .database(path: path, code: code)
        }
    }
}
