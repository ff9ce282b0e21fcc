package import OnionCrypto
package import Process
package import Wire

/// Keys of nodes and accounts on disk.
package enum Keys {
    /// Makes a node's data folder with its key; returns the node's id.
    package static func makeNode(in folder: String, passphrase: borrowing Passphrase?) throws(Failure) -> NodeID {
        Sodium.initialize()
        try Files.makeFolders(folder)
        let key = SigningKey()
        try RoleFolder.writeKey(key, in: folder, passphrase: passphrase)
        return NodeID(key.publicKey)
    }

    /// Makes the key of an account at `path`, which must not exist; returns the account, 64 hexadecimal digits.
    package static func makeAccount(at path: String, passphrase: borrowing Passphrase?) throws(Failure) -> String {
        Sodium.initialize()
        let key = SigningKey()
        try RoleFolder.write(key, to: path, passphrase: passphrase)
        return hexadecimal(key.publicKey.array)
    }

    /// The account of the key at `path`, 64 hexadecimal digits.
    package static func account(at path: String, passphrase: borrowing Passphrase?) throws(Failure) -> String {
        Sodium.initialize()
        return hexadecimal(try RoleFolder.read(path, passphrase: passphrase).publicKey.array)
    }

    /// Seals the key at `path` with the passphrase of the file `new`, or with none.
    package static func reseal(_ path: String, passphrase: borrowing Passphrase?, newFile: String?) throws(Failure) {
        Sodium.initialize()
        let key = try RoleFolder.read(path, passphrase: passphrase)
        let new: Passphrase? = if let newFile { try PassphraseFile.read(newFile) } else { nil }
        try RoleFolder.replace(key, at: path, passphrase: new)
    }
}
