import Wire

/// Reads the client's messages field by field, numbers in network order.
struct SocksFields: ~Escapable {
    /// Why reading stops before the message ends.
    enum Stop: Error {
        /// The message is incomplete.
        case unfinished
        /// The message is invalid.
        case bad(SocksError)
    }

    private var reader: ByteReader

    /// Reads from the start of `bytes`.
    @_lifetime(copy bytes)
    init(_ bytes: RawSpan) { self.reader = ByteReader(bytes) }

    /// How many bytes have been read.
    var consumed: Int { reader.offset }

    /// Reads a greeting (RFC 1928, section 3); returns the method to use.
    mutating func greeting() throws(Stop) -> UInt8 {
        guard try u8() == SocksMethod.version else { throw .bad(.unknownProtocol) }
        let methods = try array(Int(try u8()))
        if methods.contains(SocksMethod.userPassword) { return SocksMethod.userPassword }
        guard methods.contains(SocksMethod.none) else { throw .bad(.noAcceptableMethod) }
        return SocksMethod.none
    }

    /// Reads a user and a password (RFC 1929, section 2); either may be empty.
    mutating func credentials() throws(Stop) -> SocksCredentials {
        let version = try u8()
        guard version == SocksCredentials.version else { throw .bad(.badAuthenticationVersion(version)) }
        let user = try array(Int(try u8()))
        let password = try array(Int(try u8()))
        return SocksCredentials(user: user, password: password)
    }

    /// Reads a request (RFC 1928, section 4).
    mutating func request(_ credentials: SocksCredentials?) throws(Stop) -> SocksRequest {
        let version = try u8()
        guard version == SocksMethod.version else { throw .bad(.badRequestVersion(version)) }
        let commandByte = try u8()
        guard let command = SocksRequest.Command(rawValue: commandByte) else {
            throw .bad(.unknownCommand(commandByte))
        }
        let reserved = try u8()
        guard reserved == 0 else { throw .bad(.badReservedByte(reserved)) }
        let typeByte = try u8()
        guard let type = SocksAddressType(rawValue: typeByte) else { throw .bad(.unknownAddressType(typeByte)) }
        let host = try host(type, of: command)
        let port = UInt16(truncatingIfNeeded: try number(bytes: 2))
        switch (command, host) {
        case (.connect, _): if port == 0 { throw .bad(.badPort) }
        case (.resolvePointer, .name): throw .bad(.wrongAddressType)
        case (.resolvePointer, .address), (.resolve, _), (.bind, _), (.udpAssociate, _): break
        }
        return SocksRequest(
            command: command, destination: Destination(host: host, port: port), credentials: credentials, via: .socks5)
    }

    /// Reads a request of SOCKS4 or SOCKS4a: version, command, port, address, user id, and a name if the address is
    /// 0.0.0.x.
    mutating func socks4Request() throws(Stop) -> SocksRequest {
        let version = try u8()
        guard version == 4 else { throw .bad(.badRequestVersion(version)) }
        let commandByte = try u8()
        guard let command = SocksRequest.Command(rawValue: commandByte), [.connect, .bind, .resolve].contains(command)
        else {
            throw .bad(.unknownCommand(commandByte))
        }
        let port = UInt16(truncatingIfNeeded: try number(bytes: 2))
        guard port != 0 || command != .connect else { throw .bad(.badPort) }
        let address = UInt32(truncatingIfNeeded: try number(bytes: 4))
        let user = try terminated(or: .userTooLong)
        let isName = 1...255 ~= address
        let host: Destination.Host
        if isName {
            let name = try terminated(or: .badName)
            do throws(SocksError) { host = try Self.host(spelled: name) } catch { throw .bad(error) }
        } else {
            host = .address(IPAddress(v4: address))
        }
        return SocksRequest(
            command: command, destination: Destination(host: host, port: port),
            credentials: user.isEmpty ? nil : SocksCredentials(user: user, password: []), via: .socks4)
    }

    /// Reads up to 255 bytes and the 0 that terminates them.
    private mutating func terminated(or error: SocksError) throws(Stop) -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let byte = try u8()
            if byte == 0 { return bytes }
            guard bytes.count < 255 else { throw .bad(error) }
            bytes.append(byte)
        }
    }

    /// Reads the header of a datagram (RFC 1928, section 7); returns its destination.
    mutating func datagramPeer() throws(Stop) -> Destination {
        for _ in 0..<3 {
            let byte = try u8()
            guard byte == 0 else { throw .bad(.badReservedByte(byte)) }
        }
        let typeByte = try u8()
        guard let type = SocksAddressType(rawValue: typeByte) else { throw .bad(.unknownAddressType(typeByte)) }
        let host = try host(type)
        return Destination(host: host, port: UInt16(truncatingIfNeeded: try number(bytes: 2)))
    }

    /// Reads the host of a request; for an association any value is accepted, because apps fill in arbitrary ones.
    private mutating func host(
        _ type: SocksAddressType, of command: SocksRequest.Command
    ) throws(Stop) -> Destination.Host {
        do throws(Stop) {
            return try host(type)
        } catch {
            guard case .bad(.badName) = error, command == .udpAssociate else { throw error }
            return .address(IPAddress(v4: 0))
        }
    }

    private mutating func host(_ type: SocksAddressType) throws(Stop) -> Destination.Host {
        switch type {
        case .v4: return .address(IPAddress(v4: UInt32(truncatingIfNeeded: try number(bytes: 4))))
        case .v6: return .address(IPAddress(high: try number(bytes: 8), low: try number(bytes: 8)))
        case .name:
            let count = Int(try u8())
            guard count > 0 else { throw .bad(.badName) }
            let bytes = try array(count)
            do throws(SocksError) { return try Self.host(spelled: bytes) } catch { throw .bad(error) }
        }
    }

    /// The host in `bytes`: a name, or an IP literal in place of one.
    static func host(spelled bytes: [UInt8]) throws(SocksError) -> Destination.Host {
        if let address = literal(bytes) { return .address(address) }
        guard let name = HostName(ascii: bytes) else { throw .badName }
        return .name(name)
    }

    /// The address in a name that is an IP literal, with or without the brackets of a URL.
    private static func literal(_ name: [UInt8]) -> IPAddress? {
        if name.first == UInt8(ascii: "["), name.last == UInt8(ascii: "]") {
            return name.contains(UInt8(ascii: ":")) ? IPAddress(ascii: name.dropFirst().dropLast()) : nil
        }
        return IPAddress(ascii: name[...])
    }

    private mutating func number(bytes count: Int) throws(Stop) -> UInt64 {
        try array(count).reduce(0) { $0 << 8 | UInt64($1) }
    }

    private mutating func u8() throws(Stop) -> UInt8 {
        do throws(WireError) { return try reader.u8() } catch { throw .unfinished }
    }

    private mutating func array(_ count: Int) throws(Stop) -> [UInt8] {
        do throws(WireError) { return try reader.array(count) } catch { throw .unfinished }
    }
}
