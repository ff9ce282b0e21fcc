import Testing
import Texts

@Test(
    arguments: [
        ("25000", 25_000_000_000_000), ("0.5", 500_000_000), ("0.000000001", 1), ("0", 0),
        ("18446744073.709551615", .max), ("18446744073.709551616", nil), ("18446744074", nil), ("", nil), (".5", nil),
        ("5.", nil), ("1.0000000001", nil), ("+1", nil), ("1.+1", nil), ("-1", nil), ("1,5", nil), ("1e3", nil),
        ("٣", nil), ("1.5.5", nil),
    ] as [(String, UInt64?)])
func amountsAreInSeshWithNineDecimals(text: String, units: UInt64?) {
    #expect(Amount.units(text) == units)
}

@Test func anAmountIsWrittenWithoutZerosAtItsEnd() {
    #expect(Amount.text(0) == "0")
    #expect(Amount.text(1) == "0.000000001")
    #expect(Amount.text(6_250_500_000_000) == "6250.5")
    for units: UInt64 in [0, 1, 999_999_999, 1_000_000_000, .max] { #expect(Amount.units(Amount.text(units)) == units) }
}

@Test(
    arguments: [
        ("10", 1_000), ("12.5%", 1_250), ("0.01", 1), ("0", 0), ("100", 10_000), ("300", 30_000), ("0.001", nil),
        ("700", nil), ("%", nil), ("ten", nil),
    ] as [(String, UInt16?)])
func feesAreInPercent(text: String, fee: UInt16?) {
    #expect(Amount.fee(text) == fee)
}

@Test func aFeeIsWrittenInPercent() {
    #expect(Amount.percent(1_000) == "10 %")
    #expect(Amount.percent(1_250) == "12.50 %")
    #expect(Amount.percent(1) == "0.01 %")
}
