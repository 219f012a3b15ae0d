"""The npm packages of one package.json, installed by `npm ci` when the lock file changes.

A repository rule, because a sandboxed build action has no network. The repository has one target,
:node_modules, a filegroup of every installed file."""

def _npm_packages_impl(ctx):
    npm = ctx.which("npm")
    if not npm:
        fail("%s: npm is not installed. Run tools/setup, or: apt-get install nodejs npm" % ctx.name)
    ctx.symlink(ctx.path(ctx.attr.package_json), "package.json")
    ctx.symlink(ctx.path(ctx.attr.package_lock), "package-lock.json")
    ctx.report_progress("npm ci")
    result = ctx.execute([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], timeout = 600)
    if result.return_code != 0:
        fail("%s: npm ci failed. Is the npm registry reachable (npm ping)?\n%s%s" %
             (ctx.name, result.stdout, result.stderr))
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", """
filegroup(
    name = "node_modules",
    srcs = glob(["node_modules/**"], exclude = ["node_modules/**/* *", "node_modules/**/BUILD", "node_modules/**/BUILD.bazel"]),
    visibility = ["//visibility:public"],
)

exports_files(["package.json"])
""")

npm_packages = repository_rule(
    implementation = _npm_packages_impl,
    attrs = {
        "package_json": attr.label(mandatory = True, allow_single_file = True),
        "package_lock": attr.label(mandatory = True, allow_single_file = True),
    },
)
