internal import ArgumentParser
internal import Settings

/// Parses an option like the setting of the same meaning.
func option<Value>(
    _ read: @escaping @Sendable (String) throws(SettingFault) -> Value
) -> @Sendable (String) throws -> Value {
    { text in
        do throws(SettingFault) {
            return try read(text)
        } catch {
            throw ValidationError(error.message)
        }
    }
}
