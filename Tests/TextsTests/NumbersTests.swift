import Testing
import Texts

@Test func numbersHaveAboutThreeDigits() {
    #expect(figureText(nil) == "-")
    #expect(figureText(1234.5) == "1235")
    #expect(figureText(12.34) == "12.3")
    #expect(figureText(1.234) == "1.23")
}

@Test(
    arguments: [
        (-0.001, 1, "0.0"), (.nan, 1, "-"), (.infinity, 0, "-"), (1e15, 0, "-"), (-1.25, 1, "-1.3"), (2.5, 0, "3"),
        (0.05, 2, "0.05"), (999.995, 2, "1000.00"),
    ] as [(Double, Int, String)])
func numbersHaveSoManyDecimals(value: Double, decimals: Int, text: String) {
    #expect(numberText(value, decimals: decimals) == text)
}

@Test(
    arguments: [
        (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (9_949, "9.9 kB"), (9_951, "10 kB"), (999_499, "999 kB"),
        (999_500, "1.0 MB"), (23_400_000, "23 MB"), (.max, "18 EB"),
    ] as [(UInt64, String)])
func bytesAreInTheUnitThatKeepsThemShort(count: UInt64, text: String) {
    #expect(byteText(count) == text)
}

@Test(
    arguments: [
        (0, "0 s"), (119.9, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_500, "2 h 5 min"),
        (172_800, "2 d 0 h"), (-1, "-"), (.nan, "-"), (1e12, "-"),
    ] as [(Double, String)])
func timesAreAsPeopleSayThem(seconds: Double, text: String) {
    #expect(durationText(seconds) == text)
}

@Test func aCreditHasHoursMinutesAndSeconds() {
    #expect(creditText(7_182) == "1:59:42")
    #expect(creditText(0) == "0:00:00")
    #expect(creditText(.max) == "5124095576030431:00:15")
}

@Test(
    arguments: [
        ("90m", 5_400), ("2h", 7_200), ("1h30m", 5_400), ("45s", 45), ("1h1m1s", 3_661), ("4294967295s", .max),
        ("", nil), ("90", nil), ("0m", nil), ("h", nil), ("1d", nil), ("-5m", nil), ("1.5h", nil), ("2h5", nil),
        ("4294967295h", nil), ("4294967296s", nil), ("٣h", nil),
    ] as [(String, UInt32?)])
func aTimeIsNumbersWithUnits(_ text: String, _ seconds: UInt32?) { #expect(durationSeconds(text) == seconds) }
