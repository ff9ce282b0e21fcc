internal import Logging
internal import Process
internal import Settings

extension RoleProcess {
    /// Reads the configuration again and applies it completely or not at all; logs the result.
    ///
    /// Returns a description of the change.
    func loggedReload() throws(Failure) -> String {
        do throws(Failure) {
            let done = try reload()
            log.notice("\(done)")
            return done
        } catch {
            log.error("the configuration is unchanged: \(error.message)")
            throw error
        }
    }

    private func reload() throws(Failure) -> String {
        let new = try source.load()
        let fixed = settings.changes(to: new).filter { !$0.isReloadable }.map { key in
            (new.isSet(key.path) ? "\(new.origin(key.path)): " : "") + key.path
        }
        guard fixed.isEmpty else {
            throw Failure(
                .configuration,
                "\(fixed.joined(separator: ", ")) cannot change while the process runs, so nothing was changed; restart it, "
                    + "or undo \(fixed.count == 1 ? "the change" : "these changes")")
        }
        try ProcessSettings.checkProcess(new, roles: roles.map(\.kind))
        for role in roles { try ProcessSettings.check(new, role.kind) }
        ServiceNotice.send("RELOADING=1", "MONOTONIC_USEC=\(ServiceNotice.monotonicMicroseconds)")
        defer { ServiceNotice.send("READY=1") }
        for change in try prepared(new) { change.commit() }
        let changed = settings.changedPaths(to: new)
        settings = new
        LogSink.shared.apply(new)
        guard !changed.isEmpty else { return "The configuration was read again; nothing has changed." }
        return "The configuration was read again; changed: \(changed.joined(separator: ", "))."
    }

    /// The prepared changes; if one cannot be prepared, the others are abandoned.
    private func prepared(_ new: Settings) throws(Failure) -> [PreparedChange] {
        var prepared: [PreparedChange] = []
        do throws(Failure) {
            if let face { prepared.append(try face.prepare(new)) }
            for role in roles { prepared.append(try role.prepare(new)) }
        } catch {
            for change in prepared { change.abandon() }
            throw error
        }
        return prepared
    }
}
