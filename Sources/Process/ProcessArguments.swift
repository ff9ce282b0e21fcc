internal import CShims

/// The arguments of this process.
package enum ProcessArguments {
    /// All arguments, the program's name first.
    ///
    /// Swift 6.3.1 reads them from `/proc`, and returns none if `/proc` is not mounted.
    package static let all: [String] = {
        var found: [String] = []
        while let argument = unsafe shim_argument(Int32(clamping: found.count)) {
            found.append(unsafe String(cString: argument))
        }
        return found.isEmpty ? CommandLine.arguments : found
    }()
}
