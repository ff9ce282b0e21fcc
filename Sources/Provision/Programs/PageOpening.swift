package import Process

/// Opens the status page in the user's browser.
package enum PageOpening {
    /// Runs xdg-open in place of this process, with a file that leads to `url` and that only this user can read.
    ///
    /// The address holds a secret, and every user can read the command line of every program. Returns only by throwing.
    package static func open(_ url: String) throws(Failure) -> Never {
        let runtime = Files.environment("XDG_RUNTIME_DIR").flatMap { $0.hasPrefix("/") ? "\($0)/tunic" : nil }
        let folder = if let runtime { runtime } else { try ClientFolder.defaultPath() }
        try Files.makeFolders(folder)
        let path = "\(folder)/web.html"
        try Files.replace(path, Array(redirect(to: url).utf8), mode: 0o600)
        try CommandReplacement.run(["xdg-open", path])
    }

    /// A page that redirects to `url`, which has only digits, letters and `:/?=.[]`.
    private static func redirect(to url: String) -> String {
        """
        <!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Tunic</title>
        <meta http-equiv="refresh" content="0; url=\(url)"><a href="\(url)">status page</a>

        """
    }
}
