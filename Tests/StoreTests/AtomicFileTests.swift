import Glibc
import Testing

@testable import Store

struct AtomicFileTests {
    private let folder = Folder()

    private func text(_ name: String) -> String? {
        guard let bytes = try? StateFile.readPublic("\(folder.path)/\(name)") else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    private var names: [String] {
        guard let stream = unsafe opendir(folder.path) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            names.append(unsafe withUnsafePointer(to: &entry.pointee.d_name.0) { unsafe String(cString: $0) })
        }
        return names.filter { !$0.hasPrefix(".") }.sorted()
    }

    @Test("a file takes the place of one before, or stays away, and nothing else is left")
    func places() throws {
        let path = "\(folder.path)/a"
        try AtomicFile.write(Array("one".utf8), to: path, .free, .secret)
        #expect(throws: AtomicFile.Fault(call: "link", errno: EEXIST)) {
            try AtomicFile.write(Array("two".utf8), to: path, .free, .secret)
        }
        #expect(text("a") == "one" && folder.mode("a") == 0o600)
        try AtomicFile.write(Array("two".utf8), to: path, .replaced, .init(mode: 0o664, isExact: true, isForced: false))
        #expect(text("a") == "two" && folder.mode("a") == 0o664)
        // A folder cannot be replaced by a file.
        unsafe mkdir("\(folder.path)/b", 0o700)
        #expect(throws: AtomicFile.Fault(call: "rename", errno: EISDIR)) {
            try AtomicFile.write([1], to: "\(folder.path)/b", .replaced, .secret)
        }
        #expect(throws: AtomicFile.Fault(call: "open", errno: ENOENT)) {
            try AtomicFile.write([1], to: "\(folder.path)/c/d", .replaced, .secret)
        }
        #expect(names == ["a", "b"])
    }

    @Test("a new file is not made over one that is there, nor through a link")
    func newFiles() throws {
        try AtomicFile.create("\(folder.path)/a", [], .secret)
        unsafe symlink("\(folder.path)/elsewhere", "\(folder.path)/link")
        for name in ["a", "link"] {
            #expect(throws: AtomicFile.Fault(call: "open", errno: EEXIST)) {
                try AtomicFile.create("\(folder.path)/\(name)", [1], .secret)
            }
        }
        #expect(text("a") == "" && names == ["a", "link"])
    }

    @Test("a write that fails says why")
    func failingWrites() {
        #expect(AtomicFile.writeAll([1], to: -1) == EBADF)
        let full = unsafe open("/dev/full", O_WRONLY | O_CLOEXEC)
        defer { close(full) }
        #expect(AtomicFile.writeAll([1, 2, 3], to: full) == ENOSPC)
        #expect(AtomicFile.writeAll([], to: -1) == 0)
    }
}
