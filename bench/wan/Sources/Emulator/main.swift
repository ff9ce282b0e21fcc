// Carries IP packets between TUN devices, each of which is the way out of one network namespace.
//
//     Emulator [SEED]
//
// Commands come from standard input, one a line, and each is answered by one line on standard output: `ok`, what was
// asked for, or `error: REASON`. They are those of `Emulation+Commands.swift`, but `host NAME FD` names the open descriptor of
// the host's TUN device (IFF_NO_PI), which was inherited. `counts` also has what devices refused. The end of standard
// input ends the program.

import CEmulator
import Emulation
import Glibc

/// Bytes of a slot, more than a device's MTU.
let slotSize = 2_048
/// Packets on their way at most, and of these on one route.
let slots = 65_536, share = 32_768
/// Packets that are read from one device before the next has its turn.
let turn = 64

func now() -> Nanoseconds {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Nanoseconds(time.tv_sec) * 1_000_000_000 + Nanoseconds(time.tv_nsec)
}

func fail(_ reason: String) -> Never {
    let text = Array("emulator: \(reason)\n".utf8)
    _ = unsafe write(2, text, text.count)
    exit(2)
}

/// The devices, the packets' bytes, and the emulation that they pass.
@safe struct Emulator: ~Copyable {
    var emulation: Emulation
    /// Of standard input, then of each host's device in the order of hosts.
    var polled: [pollfd] = [pollfd(fd: 0, events: Int16(POLLIN), revents: 0)]
    /// `slots` slots of `slotSize` bytes; the pages of those that were never used are not there.
    let bytes: UnsafeMutableRawPointer
    var commands: [UInt8] = []
    /// Packets that a device did not take, because it was down.
    var refused = 0
    /// Packets that found no slot.
    var homeless = 0
    /// Packets that came out over a millisecond after the time that the emulation gave them.
    var late = 0

    init(seed: UInt64) {
        emulation = Emulation(slots: slots, share: share, seed: seed)
        unsafe bytes = .allocate(byteCount: slots * slotSize, alignment: 64)
    }

    deinit { unsafe bytes.deallocate() }

    /// Runs until the end of standard input.
    mutating func run() {
        while true {
            deliver()
            wait()
            if polled[0].revents != 0, !readCommands() { return }
            for index in 1..<max(1, polled.count) where polled[index].revents != 0 { read(from: index - 1) }
        }
    }

    private mutating func deliver() {
        let time = now()
        while let deadline = emulation.deadline, deadline <= time {
            guard let delivery = emulation.next(by: time) else { return }
            if time - deadline > 1_000_000 { late += 1 }
            let sent = unsafe write(polled[delivery.host + 1].fd, bytes + delivery.slot * slotSize, delivery.length)
            if sent < 0 { refused += 1 }
            emulation.release(delivery.slot)
        }
    }

    private mutating func wait() {
        var timeout = timespec(tv_sec: 3_600, tv_nsec: 0)
        if let deadline = emulation.deadline {
            let left = max(0, deadline - now())
            timeout = timespec(tv_sec: Int(left / 1_000_000_000), tv_nsec: Int(left % 1_000_000_000))
        }
        if unsafe emulator_poll(&polled, nfds_t(polled.count), &timeout) < 0 {
            if errno != EINTR { fail("ppoll: error \(errno)") }
            for index in polled.indices { polled[index].revents = 0 }
        }
    }

    private mutating func read(from host: Int) {
        for _ in 0..<turn {
            guard let slot = emulation.take() else {
                // It is read all the same: what waits in the device would hide that it is dropped.
                var byte: UInt8 = 0
                if unsafe Glibc.read(polled[host + 1].fd, &byte, 1) <= 0 { return }
                homeless += 1
                continue
            }
            let place = unsafe bytes + slot * slotSize
            let length = unsafe Glibc.read(polled[host + 1].fd, place, slotSize)
            guard length > 0 else {
                emulation.release(slot)
                // A device that is gone would be ready for ever.
                if length == 0 || (errno != EAGAIN && errno != EINTR) { polled[host + 1].fd = -1 }
                return
            }
            let ends = unsafe addresses(of: RawSpan(_unsafeStart: place, byteCount: length))
            emulation.receive(slot, length: length, from: host, ends: ends, at: now())
        }
    }

    // MARK: Commands

    /// Follows the commands that have come; false at the end of standard input.
    private mutating func readCommands() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe Glibc.read(0, &chunk, chunk.count)
        guard count > 0 else { return count < 0 && errno == EINTR }
        commands += chunk[..<count]
        guard commands.count < 1 << 20 || commands.contains(UInt8(ascii: "\n")) else { fail("a command of a megabyte") }
        var answers = ""
        while let end = commands.firstIndex(of: UInt8(ascii: "\n")) {
            answers += follow(String(decoding: commands[..<end], as: UTF8.self)) + "\n"
            commands.removeFirst(end + 1)
        }
        var rest = Array(answers.utf8)[...]
        while !rest.isEmpty {
            let sent = unsafe rest.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
            guard sent > 0 || errno == EINTR else { return false }
            rest = rest.dropFirst(max(0, sent))
        }
        return true
    }

    private mutating func follow(_ text: String) -> String {
        do {
            let words = text.split(separator: " ")
            if words.count == 3, words[0] == "host" { return try addHost(words[1], words[2]) }
            let answer = try emulation.command(text, at: now())
            guard text == "counts" else { return answer }
            return "\(answer.dropLast()),\"refused\":\(refused),\"homeless\":\(homeless),\"late\":\(late)}"
        } catch {
            return "error: \(error.reason)"
        }
    }

    private mutating func addHost(_ name: Substring, _ descriptor: Substring) throws(CommandError) -> String {
        guard let descriptor = Int32(descriptor), fcntl(descriptor, F_SETFL, O_RDWR | O_NONBLOCK) == 0 else {
            return "error: \(descriptor) is no open descriptor"
        }
        let answer = try emulation.command("host \(name)", at: now())
        polled.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
        return answer
    }
}

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count <= 1, let seed = arguments.first.map(UInt64.init) ?? 1 else {
    fail("expected a seed, got '\(arguments)'")
}
signal(SIGPIPE, SIG_IGN)
// The terminal's Ctrl-C is the driver's; it ends this program by closing standard input.
signal(SIGINT, SIG_IGN)
var emulator = Emulator(seed: seed)
emulator.run()
