/// A value that cannot be copied, on its way to another thread in a message that can: it is put in once and taken out
/// once.
///
/// What is never taken out ends with the parcel. `@unchecked Sendable`: who puts the value in has no other way to it,
/// and the queue that carries the parcel orders the two threads.
public final class Parcel<Value: ~Copyable>: @unchecked Sendable {
    private var value: Value?

    /// A parcel with `value`.
    public init(_ value: consuming Value) { self.value = consume value }

    /// Takes the value out; a second call traps.
    public func take() -> Value {
        guard let value = value.take() else { preconditionFailure("a parcel is opened once") }
        return value
    }
}
