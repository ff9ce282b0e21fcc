// OnionCrypto
