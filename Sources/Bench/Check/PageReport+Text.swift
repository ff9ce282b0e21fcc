internal import Texts

extension PageReport {
    /// The table that `tunic check` prints.
    package var text: String {
        var table = Table()
        func time(_ value: Double) -> String { "\(numberText(value, decimals: 1)) ms" }
        if let exit { table.add("exit", exit) }
        if let exitAddress { table.add("the world sees", exitAddress) }
        if let address { table.add("resolved at the exit", address) }
        if let status { table.add("status", "\(status)") }
        if tls == true { table.add("TLS", "answers; its certificate is not checked") }
        if let resolve { table.add("name", time(resolve)) }
        table.add("connection", time(connect))
        if let firstByte { table.add("first byte", time(firstByte)) }
        table.add("in all", time(total))
        return table.lines.joined(separator: "\n")
    }
}
