import Testing
import Texts

@Test func columnsAreAsWideAsTheirWidestCell() {
    var table = Table()
    table.add("key", "streams", "exit")
    table.add("a", "12", "7zc…snode")
    table.add(["longer", "1"])
    #expect(table.lines == ["key     streams  exit", "a       12       7zc…snode", "longer  1"])
    #expect(Table().lines.isEmpty)
}
