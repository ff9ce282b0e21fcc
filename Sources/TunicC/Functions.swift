internal import Glibc
internal import Tunic

// The functions of tunic.h, which documents them. A handle is a retained Swift object.

/// UDP sockets and their client.
private final class Sockets: Sendable {
    let datagrams: TunicDatagrams
    init(_ datagrams: TunicDatagrams) { self.datagrams = datagrams }
}

/// The text at `pointer`; nil for NULL, and for invalid UTF-8, because two such texts could become equal.
private func text(_ pointer: UnsafePointer<CChar>?) -> String? {
    unsafe pointer.flatMap { unsafe String(validatingCString: $0) }
}

/// The text by which streams are isolated; nil for invalid UTF-8.
private func isolationText(_ pointer: UnsafePointer<CChar>?) -> String? { unsafe pointer == nil ? "" : text(pointer) }

private func object<Object: AnyObject>(_ handle: UnsafeMutableRawPointer?, _: Object.Type) -> Object? {
    unsafe handle.map { unsafe Unmanaged<Object>.fromOpaque($0).takeUnretainedValue() }
}

/// `tunic_last_error` of tunic.h.
@_cdecl("tunic_last_error")
public func tunicLastError() -> UnsafePointer<CChar>? { unsafe LastError.text }

/// `tunic_start` of tunic.h.
@_cdecl("tunic_start")
public func tunicStart(
    _ networkFile: UnsafePointer<CChar>?, _ dataFolder: UnsafePointer<CChar>?, _ hops: Int32,
    _ client: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> Int32 {
    guard let path = unsafe text(networkFile), let folder = unsafe text(dataFolder), let client = unsafe client,
        (0...4).contains(hops)
    else { return failed(.badArgument) }
    unsafe client.pointee = nil
    let result = waiting(-1) { () async throws(TunicError) -> TunicClient in
        var configuration = try TunicConfiguration(networkFileAt: path, dataFolder: folder)
        if hops > 0 { configuration.hops = Int(hops) }
        return try await TunicClient.start(configuration)
    }
    switch result {
    case .success(let started):
        unsafe client.pointee = Unmanaged.passRetained(started).toOpaque()
        return 0
    case .failure(let error): return failed(error)
    }
}

/// `tunic_wait_ready` of tunic.h.
@_cdecl("tunic_wait_ready")
public func tunicWaitReady(_ handle: UnsafeMutableRawPointer?, _ milliseconds: Int32) -> Int32 {
    guard let client = unsafe object(handle, TunicClient.self) else { return failed(.badArgument) }
    switch waiting(milliseconds, { () async throws(TunicError) in try await client.untilReady() }) {
    case .success: return 0
    case .failure(let error): return failed(error)
    }
}

/// `tunic_open` of tunic.h.
@_cdecl("tunic_open")
public func tunicOpen(
    _ handle: UnsafeMutableRawPointer?, _ host: UnsafePointer<CChar>?, _ port: UInt16,
    _ isolation: UnsafePointer<CChar>?
) -> Int32 {
    guard let client = unsafe object(handle, TunicClient.self), let host = unsafe text(host),
        let isolation = unsafe isolationText(isolation)
    else { return failed(.badArgument) }
    switch waiting(
        -1, { () async throws(TunicError) in try await client.openSocket(host, port: port, isolation: isolation) })
    {
    case .success(let descriptor): return descriptor
    case .failure(let error): return failed(error)
    }
}

/// `tunic_udp_open` of tunic.h.
@_cdecl("tunic_udp_open")
public func tunicUDPOpen(
    _ handle: UnsafeMutableRawPointer?, _ isolation: UnsafePointer<CChar>?,
    _ sockets: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> Int32 {
    guard let client = unsafe object(handle, TunicClient.self), let sockets = unsafe sockets,
        let isolation = unsafe isolationText(isolation)
    else { return failed(.badArgument) }
    unsafe sockets.pointee = nil
    switch waiting(-1, { () async throws(TunicError) in try await client.openDatagrams(isolation: isolation) }) {
    case .success(let opened):
        unsafe sockets.pointee = Unmanaged.passRetained(Sockets(opened)).toOpaque()
        return 0
    case .failure(let error): return failed(error)
    }
}

/// `tunic_udp_send` of tunic.h.
@_cdecl("tunic_udp_send")
public func tunicUDPSend(
    _ handle: UnsafeMutableRawPointer?, _ host: UnsafePointer<CChar>?, _ port: UInt16, _ data: UnsafeRawPointer?,
    _ length: Int
) -> Int32 {
    guard let sockets = unsafe object(handle, Sockets.self), let host = unsafe text(host), length >= 0,
        unsafe data != nil || length == 0
    else { return failed(.badArgument) }
    let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: length))
    switch waiting(-1, { () async throws(TunicError) in try await sockets.datagrams.send(bytes, to: host, port: port) })
    {
    case .success: return 0
    case .failure(let error): return failed(error)
    }
}

/// `tunic_udp_receive` of tunic.h.
@_cdecl("tunic_udp_receive")
public func tunicUDPReceive(
    _ handle: UnsafeMutableRawPointer?, _ data: UnsafeMutableRawPointer?, _ size: Int,
    _ host: UnsafeMutablePointer<CChar>?, _ port: UnsafeMutablePointer<UInt16>?, _ milliseconds: Int32
) -> Int32 {
    guard let sockets = unsafe object(handle, Sockets.self), let data = unsafe data, size >= 0 else {
        return failed(.badArgument)
    }
    switch waiting(milliseconds, { () async throws(TunicError) in try await sockets.datagrams.receive() }) {
    case .success(let datagram):
        guard datagram.data.count <= size else { return failed(.tooSmall) }
        unsafe data.copyMemory(from: Array(datagram.data), byteCount: datagram.data.count)
        if let host = unsafe host { unsafe strncpy(host, String(datagram.host.prefix(255)), 256) }
        if let port = unsafe port { unsafe port.pointee = datagram.port }
        return Int32(datagram.data.count)
    case .failure(let error): return failed(error)
    }
}

/// `tunic_udp_close` of tunic.h.
@_cdecl("tunic_udp_close")
public func tunicUDPClose(_ handle: UnsafeMutableRawPointer?) {
    guard let handle = unsafe handle else { return }
    unsafe Unmanaged<Sockets>.fromOpaque(handle).takeRetainedValue().datagrams.close()
}

/// `tunic_shut_down` of tunic.h.
@_cdecl("tunic_shut_down")
public func tunicShutDown(_ handle: UnsafeMutableRawPointer?) {
    guard let handle = unsafe handle else { return }
    let client = unsafe Unmanaged<TunicClient>.fromOpaque(handle).takeRetainedValue()
    _ = waiting(-1) { () async throws(TunicError) in await client.shutDown() }
}
