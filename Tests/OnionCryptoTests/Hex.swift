import OnionCrypto
import Testing
import VectorFiles
import Wire

func hex(_ text: String) throws -> [UInt8] { try VectorFile.bytes(hex: text) }

func secret(_ text: String) throws -> Secret {
    let bytes = try hex(text)
    return Secret(copying: bytes.rawSpan)
}

func bytes32(_ text: String) throws -> Bytes32 { try #require(Bytes32(try hex(text))) }
