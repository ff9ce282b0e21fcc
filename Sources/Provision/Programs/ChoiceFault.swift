/// A value on the command line that a command cannot use, with the remedy in one line.
package struct ChoiceFault: Error, Equatable {
    package var message: String

    package init(_ message: String) { self.message = message }
}
