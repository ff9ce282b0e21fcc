internal import Texts

/// A chart of lines as inline SVG, in the colours of the page.
struct Chart {
    /// One line.
    struct Line {
        var name: String
        var points: [(x: Double, y: Double)]
    }

    /// A place on an axis, with its text.
    struct Mark {
        var at: Double
        var text: String
    }

    var title: String
    var xTitle: String
    var yTitle: String
    var xMarks: [Mark]
    var yMarks: [Mark]
    var lines: [Line]

    private static let width = 760.0, height = 300.0
    private static let left = 62.0, right = 32.0, top = 14.0, bottom = 44.0

    /// The SVG element with its legend.
    var svg: String {
        let xs = (xMarks.map(\.at) + lines.flatMap { $0.points.map(\.x) })
        let ys = (yMarks.map(\.at) + lines.flatMap { $0.points.map(\.y) })
        guard let xLow = xs.min(), let xHigh = xs.max(), let yLow = ys.min(), let yHigh = ys.max() else { return "" }
        func x(_ value: Double) -> Double {
            Self.left + (value - xLow) / max(xHigh - xLow, 1e-9) * (Self.width - Self.left - Self.right)
        }
        func y(_ value: Double) -> Double {
            Self.height - Self.bottom - (value - yLow) / max(yHigh - yLow, 1e-9)
                * (Self.height - Self.top - Self.bottom)
        }
        let size = "\(numberText(Self.width, decimals: 0)) \(numberText(Self.height, decimals: 0))"
        var parts = ["<svg viewBox=\"0 0 \(size)\" role=\"img\" aria-label=\"\(escaped(title))\">"]
        for mark in yMarks {
            let place = numberText(y(mark.at), decimals: 1)
            let end = numberText(Self.width - Self.right, decimals: 1)
            parts.append("<path class=\"grid\" d=\"M\(numberText(Self.left, decimals: 1)) \(place)H\(end)\"/>")
            parts.append(text(mark.text, Self.left - 8, y(mark.at) + 4, anchor: "end"))
        }
        for mark in xMarks {
            let place = numberText(x(mark.at), decimals: 1)
            parts.append(
                "<path class=\"grid\" d=\"M\(place) \(numberText(Self.top, decimals: 1))V\(numberText(Self.height - Self.bottom, decimals: 1))\"/>"
            )
            parts.append(text(mark.text, x(mark.at), Self.height - Self.bottom + 18, anchor: "middle"))
        }
        parts.append(text(xTitle, (Self.left + Self.width - Self.right) / 2, Self.height - 6, anchor: "middle"))
        let middle = numberText((Self.top + Self.height - Self.bottom) / 2, decimals: 1)
        parts.append("<text class=\"axis\" transform=\"translate(14 \(middle)) rotate(-90)\">\(escaped(yTitle))</text>")
        for (index, line) in lines.enumerated() {
            let points = line.points.map { "\(numberText(x($0.x), decimals: 1)) \(numberText(y($0.y), decimals: 1))" }
            parts.append(
                "<path class=\"line c\(index % 6)\" d=\"M\(points.joined(separator: "L"))\">"
                    + "<title>\(escaped(line.name))</title></path>")
        }
        parts.append("</svg>")
        let keys = lines.enumerated().map { "<li class=\"c\($0 % 6)\">\(escaped($1.name))</li>" }
        return "<figure><figcaption>\(escaped(title))</figcaption>\(parts.joined())<ul>\(keys.joined())</ul></figure>"
    }

    private func text(_ text: String, _ x: Double, _ y: Double, anchor: String) -> String {
        "<text x=\"\(numberText(x, decimals: 1))\" y=\"\(numberText(y, decimals: 1))\" text-anchor=\"\(anchor)\">\(escaped(text))</text>"
    }

    /// About five round values from 0 to at least `highest`.
    static func marks(to highest: Double) -> [Mark] {
        guard highest > 0, highest.isFinite else { return [Mark(at: 0, text: "0"), Mark(at: 1, text: "1")] }
        var unit = 1.0
        while unit * 10 <= highest { unit *= 10 }
        while unit > highest { unit /= 10 }
        let step = [0.2, 0.5, 1, 2].map { $0 * unit }.first { highest / $0 <= 6 } ?? 2 * unit
        let count = Int((highest / step).rounded(.up))
        return (0...count).map {
            Mark(at: Double($0) * step, text: numberText(Double($0) * step, decimals: step < 1 ? 1 : 0))
        }
    }
}

/// `text` with the characters escaped that HTML reserves.
func escaped(_ text: String) -> String {
    text.reduce(into: "") { result, character in
        switch character {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        default: result.append(character)
        }
    }
}
