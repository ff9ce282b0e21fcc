public import CShims

/// Places in a socket's queue for packets that lie in memory of the caller's own; to be filled, all of them, right after it was got.
@safe
public struct SendRoom {
    /// How many there are.
    public let count: Int
    @usableFromInline let length: Int
    @usableFromInline let vectors: UnsafeMutablePointer<shim_vector>?

    init(_ vectors: UnsafeMutablePointer<shim_vector>?, count: Int, length: Int) {
        unsafe self.vectors = vectors
        self.count = count
        self.length = length
    }

    /// Puts the packet at `packet`, of the length that the room is for, to place `place`; it stays where it is, and unchanged, until the next flush.
    @unsafe @inlinable @inline(__always)
    public func put(_ packet: UnsafeMutableRawPointer, at place: Int) {
        precondition(place >= 0 && place < count, "no such place")
        unsafe (vectors.unsafelyUnwrapped + place).initialize(to: shim_vector(base: packet, length: length))
    }
}
