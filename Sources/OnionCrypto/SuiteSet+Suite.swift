public import Wire

extension SuiteSet {
    /// The suites that this machine can run.
    public static var available: SuiteSet { Suite.aes256gcm.isAvailable ? known : .chacha20poly1305 }

    /// The suite to choose from those that both ends have: suite 1 first; nil for a set without a known one.
    public var preferred: Suite? {
        if contains(.aes256gcm) { return .aes256gcm }
        return contains(.chacha20poly1305) ? .chacha20poly1305 : nil
    }

    /// Whether `suite` is in the set.
    public func holds(_ suite: Suite) -> Bool { contains(SuiteSet(rawValue: 1 << (suite.rawValue - 1))) }
}
