internal import ArgumentParser
internal import Provision
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

/// Makes a plan of the options; its fault is one of the command line.
func checked<Plan>(_ make: () throws(ChoiceFault) -> Plan) throws -> Plan {
    do throws(ChoiceFault) {
        return try make()
    } catch {
        throw ValidationError(error.message)
    }
}
