extension OxendList {
    /// The output of `tunic oxend nodes`: the height and the number of nodes of each standing.
    package var text: String {
        """
        height          \(height)
        active          \(count(.active))
        decommissioned  \(count(.decommissioned))
        not funded      \(count(.open))
        """
    }
}
