package import Directory
internal import Glibc
internal import Texts
internal import Wire

extension NetworkFile {
    /// The last second since 1970 whose nanoseconds fit 64 bits.
    private static let lastSecond = UInt64.max / 1_000_000_000 - 1

    /// Reads and checks the network file at `path`, and checks that this machine's clock is not behind it.
    package static func read(_ path: String) throws(Failure) -> NetworkFile {
        try read(try Files.read(path, limit: NetworkFile.maximumFileSize), from: path)
    }

    /// Checks the network file `bytes` from `path`, and that this machine's clock is not behind it.
    package static func read(_ bytes: [UInt8], from path: String) throws(Failure) -> NetworkFile {
        let file: NetworkFile
        do {
            file = try NetworkFile(json: bytes)
        } catch {
            throw Failure(.data, "\(path): \(error)")
        }
        let made = file.snapshot.snapshot.time.seconds
        let now = currentTime().seconds
        guard now <= Self.lastSecond else {
            throw Failure(.configuration, "this machine's clock is past the year 2554; set it")
        }
        guard now + 600 >= made else {
            throw Failure(
                .configuration,
                "\(path) was made \(durationText(Double(made - now))) in the future; set this machine's clock")
        }
        return file
    }

    /// The path at which 'tunic join' stores this user's network file.
    package static func standardPath() throws(Failure) -> String {
        if geteuid() == 0 { return "/etc/tunic/network.json" }
        if let folder = Files.environment("XDG_CONFIG_HOME"), folder.hasPrefix("/") {
            return "\(folder)/tunic/network.json"
        }
        if let home = Files.environment("HOME"), home.hasPrefix("/") { return "\(home)/.config/tunic/network.json" }
        throw Failure(.configuration, "neither XDG_CONFIG_HOME nor HOME names a folder for the network file")
    }
}
