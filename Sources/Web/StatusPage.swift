/// The status page of a process: one document that loads nothing from elsewhere.
///
/// It requests `/state` each second, with the secret from its own address, and draws the result.
public enum StatusPage {
    /// The sources that the document may load and contact; `nonce` is new for each answer.
    public static func policy(nonce: String) -> String {
        "default-src 'none'; script-src 'nonce-\(nonce)'; style-src 'nonce-\(nonce)'; connect-src 'self'; "
            + "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    }

    /// The document; `figures` is the JSON of how the figures of a report are shown.
    public static func document(nonce: String, figures: String) -> String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>Tunic</title>
        <link rel="icon" href="data:,">
        <style nonce="\(nonce)">\(style)</style>
        </head>
        <body>
        <header>
          <h1>Tunic</h1>
          <p id="state" role="status"><span class="dot"></span><span id="state-text">Connecting…</span></p>
          <p id="facts"></p>
          <button id="newpath" type="button" hidden>New path</button>
        </header>
        <main id="main" aria-live="off"></main>
        <div id="setup"></div>
        <noscript><p class="card">This page needs JavaScript; 'tunic status' shows the same in a terminal.</p></noscript>
        <script type="application/json" id="catalog">\(figures.replacing("<", with: "\\u003c"))</script>
        <script nonce="\(nonce)">\(script)</script>
        </body>
        </html>

        """
    }
}
