"""The npm packages of one package.json, installed by `npm ci` when the lock file changes.

A repository rule, because a sandboxed build action has no network. Install scripts of packages are not run: they
would be code from outside with the rights of the user, and none of the packages needs one.

The repository offers
  :node_modules    every installed file
  :<package>       the files of one top-level package (of a scope @x: :scope_x), so that an action that needs one
                   package does not stage them all
  :node            the node that npm came with
  :package.json    its folder is the parent of node_modules"""

def _package_filegroups(ctx):
    groups = []
    for entry in ctx.path("node_modules").readdir():
        name = entry.basename
        if name.startswith("."):
            continue
        groups.append("""
filegroup(
    name = "{target}",
    srcs = glob(["node_modules/{name}/**"], exclude = EXCLUDED),
)
""".format(name = name, target = name.replace("@", "scope_")))
    return "".join(groups)

def _npm_packages_impl(ctx):
    npm = ctx.which("npm")
    node = ctx.which("node")
    if not npm or not node:
        fail("%s: node or npm is not installed. Run tools/setup, or: apt-get install nodejs npm" % ctx.name)
    ctx.symlink(ctx.path(ctx.attr.package_json), "package.json")
    ctx.symlink(ctx.path(ctx.attr.package_lock), "package-lock.json")
    ctx.symlink(node, "node")
    ctx.report_progress("npm ci")
    result = ctx.execute(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        timeout = 600,
    )
    if result.return_code != 0:
        fail("%s: npm ci failed. Is the npm registry reachable (npm ping)?\n%s%s" %
             (ctx.name, result.stdout, result.stderr))
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", """
package(default_visibility = ["//visibility:public"])

# Bazel does not take file names with spaces, and must not read foreign BUILD files.
EXCLUDED = [
    "node_modules/**/* *",
    "node_modules/**/BUILD",
    "node_modules/**/BUILD.bazel",
]

filegroup(
    name = "node_modules",
    srcs = glob(["node_modules/**"], exclude = EXCLUDED),
)

exports_files([
    "node",
    "package.json",
])
""" + _package_filegroups(ctx))

npm_packages = repository_rule(
    implementation = _npm_packages_impl,
    attrs = {
        "package_json": attr.label(mandatory = True, allow_single_file = True),
        "package_lock": attr.label(mandatory = True, allow_single_file = True),
    },
)
