internal import ArgumentParser
internal import Settings

/// Reads an option as the setting of the same meaning is read.
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
