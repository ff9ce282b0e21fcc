// SocksProtocol
