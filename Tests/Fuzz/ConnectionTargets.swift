import ConnectionModel
import Wire

/// Two ends of a connection over a bad network, thousands of steps for each input; `ConnectionModel` says what must hold.
///
/// It rewards long runs: `Tests/Fuzz/run 3600 connections`. The first byte of an input is the kind (configuration, congestion
/// controllers, who is hostile and how openly), those behind it are choices; a short input is as good a seed as a long one.
func connections(_ input: RawSpan) {
    do {
        _ = try ConnectionModel.run([UInt8](copying: input), steps: 3_000)
    } catch { preconditionFailure(error.description) }
}
