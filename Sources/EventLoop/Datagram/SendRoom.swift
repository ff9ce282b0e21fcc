public import CShims

/// Places in a socket's queue for packets in the caller's memory; the caller must fill all of them at once.
@safe
public struct SendRoom {
    /// The number of places.
    public let count: Int
    @usableFromInline let length: Int
    @usableFromInline let vectors: UnsafeMutablePointer<shim_vector>?

    init(_ vectors: UnsafeMutablePointer<shim_vector>?, count: Int, length: Int) {
        unsafe self.vectors = vectors
        self.count = count
        self.length = length
    }

    /// Queues the packet at `packet`, of the room's length, at place `place`; it must stay valid and unchanged until
    /// the next flush.
    @unsafe @inlinable @inline(__always)
    public func put(_ packet: UnsafeMutableRawPointer, at place: Int) {
        precondition(place >= 0 && place < count, "no such place")
        unsafe (vectors.unsafelyUnwrapped + place).initialize(to: shim_vector(base: packet, length: length))
    }
}
