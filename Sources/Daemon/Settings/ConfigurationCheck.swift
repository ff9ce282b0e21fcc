internal import Control
internal import Directory
internal import Process
package import Settings

/// Finds the problems of a configuration without opening or starting anything.
package struct ConfigurationCheck {
    /// The data folder that systemd gives the service, if the file names none.
    private static let serviceFolder = "/var/lib/tunic"

    /// The problems: at most one for each role, one for the process and one for the network file.
    package let problems: [SettingProblem]
    /// The data folder that systemd gives a relay whose configuration names none; nil if one is named or none is
    /// needed.
    package let serviceFolder: String?

    /// Checks the settings of `source`.
    package init(_ source: SettingsSource) {
        do throws(SettingProblems) {
            let settings = try source.loadAll()
            problems = Self.faults(in: settings)
            let isNamed = settings.text("data") != nil || Files.firstFolder("STATE_DIRECTORY") != nil
            serviceFolder = !isNamed && ProcessSettings.roles(settings).contains(.relay) ? Self.serviceFolder : nil
        } catch {
            problems = error.all
            serviceFolder = nil
        }
    }

    /// The first problem of each role, and of the network file.
    private static func faults(in settings: Settings) -> [SettingProblem] {
        var problems: [SettingProblem] = []
        func look(_ key: String = "", _ attempt: () throws(Failure) -> Void) {
            do throws(Failure) {
                try attempt()
            } catch {
                let origin = key.isEmpty ? .byDefault : settings.origin(key)
                let problem = error.problem ?? SettingProblem(origin, key, error.message)
                if !problems.contains(problem) { problems.append(problem) }
            }
        }
        let roles = ProcessSettings.roles(settings)
        for role in roles {
            look { () throws(Failure) in try ProcessSettings.check(settings, role) }
        }
        look { () throws(Failure) in try ProcessSettings.checkProcess(settings, roles: roles) }
        look { () throws(Failure) in _ = try ProcessSettings(settings, roles: [], folder: serviceFolder) }
        if let network = settings.text("network") {
            look("network") { () throws(Failure) in _ = try NetworkFile.read(network) }
        }
        return problems
    }
}
