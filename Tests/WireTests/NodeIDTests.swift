import Testing
import Wire

/// Node ids as users write them.
@Suite struct NodeIDTests {
    @Test("S9: a node is named by the first letters of its id too")
    func s9NodesHaveShortForms() throws {
        let id = NodeID(Bytes32())
        let text = id.description
        for form in [text, String(text.prefix(4)), "\(text.prefix(8))…snode", String(text.prefix(52))] {
            #expect(id.hasShortForm(form), "\(form)")
        }
        for form in ["", "y", "yyy", "…snode", "yyyb", "\(text)x", "\(text.prefix(7))b…snode"] {
            #expect(!id.hasShortForm(form), "\(form)")
        }
    }
}
