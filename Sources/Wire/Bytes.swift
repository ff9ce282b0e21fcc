extension [UInt8] {
    /// The array's bytes, valid while it is borrowed.
    public var rawSpan: RawSpan {
        @_lifetime(borrow self)
        get {
            let elements = span
            return unsafe _overrideLifetime(elements.bytes, borrowing: self)
        }
    }

    /// The array's bytes, to change them in place.
    public var mutableRawSpan: MutableRawSpan {
        @_lifetime(&self)
        mutating get {
            let buffer = unsafe withUnsafeMutableBytes { unsafe $0 }
            let bytes = unsafe MutableRawSpan(_unsafeBytes: buffer)
            return unsafe _overrideLifetime(bytes, mutating: &self)
        }
    }

    /// A copy of the bytes of `span`.
    public init(copying span: RawSpan) {
        // The initializer below would write a count to the empty array, whose storage all threads share.
        guard span.byteCount > 0 else {
            self = []
            return
        }
        unsafe self.init(unsafeUninitializedCapacity: span.byteCount) { buffer, count in
            unsafe span.withUnsafeBytes { unsafe UnsafeMutableRawBufferPointer(buffer).copyMemory(from: $0) }
            count = span.byteCount
        }
    }
}
