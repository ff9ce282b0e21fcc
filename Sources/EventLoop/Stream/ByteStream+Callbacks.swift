import CLibUV

// The functions that libuv calls for a stream: the handle's data is the stream, which the handle retains.

func provideReadBuffer(
    _ handle: UnsafeMutablePointer<uv_handle_t>?, _ size: Int, _ buffer: UnsafeMutablePointer<uv_buf_t>?
) {
    unsafe Unmanaged<ByteStream>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef { stream in
        let shared = unsafe stream.loop.readBuffer
        let size = min(shared.count, max(stream.delegate?.streamReadLimit(stream) ?? .max, 0))
        unsafe buffer!.pointee = uv_buf_init(
            shared.baseAddress!.assumingMemoryBound(to: CChar.self), UInt32(truncatingIfNeeded: size))
    }
}

func streamRead(
    _ handle: UnsafeMutablePointer<uv_stream_t>?, _ count: Int, _ buffer: UnsafePointer<uv_buf_t>?
) {
    unsafe Unmanaged<ByteStream>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef {
        unsafe $0.read(count, buffer?.pointee.base)
    }
}

func streamConnected(_ request: UnsafeMutablePointer<uv_connect_t>?, _ status: Int32) {
    let handle = unsafe request!.pointee.handle!
    unsafe request!.deallocate()
    unsafe Unmanaged<ByteStream>.fromOpaque(handle.pointee.data)._withUnsafeGuaranteedRef { $0.connected(status) }
}

func streamWritten(_ request: UnsafeMutablePointer<uv_write_t>?, _ status: Int32) {
    let handle = unsafe request!.pointee.handle!
    unsafe UnsafeMutableRawPointer(request!).deallocate()
    unsafe Unmanaged<ByteStream>.fromOpaque(handle.pointee.data)._withUnsafeGuaranteedRef { $0.wrote(status) }
}

func streamShutDown(_ request: UnsafeMutablePointer<uv_shutdown_t>?, _ status: Int32) {
    let handle = unsafe request!.pointee.handle!
    unsafe Unmanaged<ByteStream>.fromOpaque(handle.pointee.data)._withUnsafeGuaranteedRef {
        $0.finishedShutdown(status)
    }
}

func streamClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<ByteStream>.fromOpaque(handle!.pointee.data).release()
}
