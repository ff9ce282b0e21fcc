import Foundation
import PackagePlugin

/// Writes the commit that is built into a source file of `BuildInfo`, at each build.
///
/// A manifest could ask for the commit, but its answer is kept until the manifest changes.
@main
struct BuildInfoPlugin: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let folder = context.pluginWorkDirectoryURL
        let package = context.package.directoryURL
        let script = package.appending(path: "Sources/BuildInfoPlugin/write-commit")
        return [
            .prebuildCommand(
                displayName: "Commit", executable: URL(filePath: "/bin/sh"),
                arguments: [script, package, folder].map { $0.path(percentEncoded: false) },
                outputFilesDirectory: folder)
        ]
    }
}
