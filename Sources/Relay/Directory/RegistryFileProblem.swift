internal import Directory
internal import Store

/// The fault of a registry file.
enum RegistryFileProblem: RegistrySourceProblem {
    case unreadable(StoreError)
    case refused(StaticRegistryError)

    /// The fault and its remedy, in one sentence.
    var text: String {
        switch self {
        case .unreadable(let error): "\(error)."
        case .refused(let error): "\(error)."
        }
    }
}
