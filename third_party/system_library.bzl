"""A cc_library for a library installed by Debian, found through pkg-config or named by linker flags.

Only link flags are taken: Debian puts every header under /usr/include, where the compiler looks anyway.
A missing library fails with the package to install instead of a compiler error a hundred lines long."""

def _system_library_impl(ctx):
    for header in ctx.attr.headers:
        if not ctx.path("/usr/include/" + header).exists:
            fail("%s: header %s is not installed. Run tools/setup, or: apt-get install %s" %
                 (ctx.name, header, ctx.attr.package))
    linkopts = list(ctx.attr.linkopts)
    if ctx.attr.modules:
        result = ctx.execute(["pkg-config", "--libs"] + ctx.attr.modules)
        if result.return_code != 0:
            fail("%s: pkg-config does not know %s. Run tools/setup, or: apt-get install pkg-config %s\n%s" %
                 (ctx.name, " ".join(ctx.attr.modules), ctx.attr.package, result.stderr))
        linkopts += [option for option in result.stdout.strip().split(" ") if option]
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD", """
cc_library(
    name = "{name}",
    defines = {defines},
    linkopts = {linkopts},
    visibility = ["//visibility:public"],
)
""".format(name = ctx.name, defines = repr(ctx.attr.defines), linkopts = repr(linkopts)))

system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "package": attr.string(mandatory = True, doc = "Debian package, for the error message"),
        "modules": attr.string_list(doc = "pkg-config modules"),
        "linkopts": attr.string_list(doc = "linker flags of a library without a pkg-config file"),
        "defines": attr.string_list(doc = "preprocessor definitions its users need"),
        "headers": attr.string_list(doc = "headers below /usr/include that must exist"),
    },
    local = True,
)
