extension OxendList {
    /// What `tunic oxend nodes` prints: a table with the number of nodes of each standing.
    package var text: String {
        """
        height          \(height)
        active          \(count(.active))
        decommissioned  \(count(.decommissioned))
        not funded      \(count(.open))
        """
    }
}
