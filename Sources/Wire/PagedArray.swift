/// An array of fixed size whose elements are all equal at first, and which takes memory only for the pages that were
/// written.
///
/// For tables that are large enough for a flood, and nearly empty in an ordinary hour. Reading makes no page.
public struct PagedArray<Element: Sendable>: Sendable {
    @inlinable static var pageSize: Int { 64 }
    @usableFromInline let initial: Element
    /// A page that was never written is empty.
    @usableFromInline var pages: [[Element]]
    /// How many elements there are.
    public let count: Int

    /// `count` elements, each `initial`.
    @inlinable
    public init(repeating initial: Element, count: Int) {
        precondition(count >= 0)
        self.initial = initial
        self.count = count
        pages = Array(repeating: [], count: (count + Self.pageSize - 1) / Self.pageSize)
    }

    /// The element at `index`, which is below `count`.
    @inlinable public subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count)
            let page = pages[index / Self.pageSize]
            return page.isEmpty ? initial : page[index % Self.pageSize]
        }
        _modify {
            precondition(index >= 0 && index < count)
            let page = index / Self.pageSize
            if pages[page].isEmpty { pages[page] = Array(repeating: initial, count: Self.pageSize) }
            yield &pages[page][index % Self.pageSize]
        }
    }

    /// How many elements the pages that were written hold.
    @inlinable public var written: Int { pages.reduce(0) { $0 + $1.count } }
}
