/// The number of single-byte edits that turn `a` into `b`, over the first 64 bytes of each.
func editDistance(_ a: String, _ b: String) -> Int {
    let left = Array(a.utf8.prefix(64))
    let right = Array(b.utf8.prefix(64))
    var row = Array(0...right.count)
    for (i, x) in left.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, y) in right.enumerated() {
            let above = row[j + 1]
            row[j + 1] = min(diagonal + (x == y ? 0 : 1), above + 1, row[j] + 1)
            diagonal = above
        }
    }
    return row[right.count]
}
