/// The version of the program, by the rules of semantic versioning: the first number changes with the wire protocol or
/// the configuration's meaning once it is above 0, until then the second does.
public let version = "0.2.0"

/// The version with the commit that was built, as semantic versioning's build metadata: `0.2.0+e549c03a1b2c`, with
/// `.modified` behind it if files differed from that commit; `unknown` in place of the commit outside of a git
/// repository.
public let versionAndCommit = "\(version)+\(commit)"

/// How it was built.
public var build: String {
    #if DEBUG
        let kind = "debug"
    #else
        let kind = "release"
    #endif
    #if arch(x86_64)
        let machine = "x86_64"
    #elseif arch(arm64)
        let machine = "aarch64"
    #else
        let machine = "another architecture"
    #endif
    return "\(kind), \(machine)"
}
