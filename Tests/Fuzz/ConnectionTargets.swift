import ConnectionModel
import Wire

/// Two ends of a connection over a bad network, for thousands of steps per input; `ConnectionModel` checks them.
///
/// Long runs find more: `Tests/Fuzz/run 3600 connections`. The first byte of an input selects the configuration, the
/// congestion controllers, the hostile end and how openly it lies. The bytes after it are choices, so a short input is
/// as good a seed as a long one.
func connections(_ input: RawSpan) {
    do {
        _ = try ConnectionModel.run([UInt8](copying: input), steps: 3_000)
    } catch { preconditionFailure(error.description) }
}
