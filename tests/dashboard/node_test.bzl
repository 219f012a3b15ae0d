"""Tests that run under node: `node_test` for a module as it is, `unit_test` for TypeScript bundled first."""

def node_test(name, script, args = [], data = [], **kwargs):
    """A test that passes when `node script args` exits with 0.

    Args:
      name: of the test
      script: label of a .mjs file
      args: further arguments; $(location) works for data
      data: files the script needs
      **kwargs: passed to sh_test
    """
    native.sh_test(
        name = name,
        srcs = ["run_node.sh"],
        args = ["$(location @dashboard_npm//:node)", "$(location %s)" % script] + args,
        data = [script, "@dashboard_npm//:node"] + data,
        **kwargs
    )

def unit_test(name, **kwargs):
    """Tests of the dashboard's pure modules: NAME.ts, bundled with what it imports and run by node's test runner."""
    native.genrule(
        name = name + "_bundle",
        srcs = [
            name + ".ts",
            "//tools/dashboard:sources",
        ],
        outs = [name + ".mjs"],
        cmd = "$(location @dashboard_npm//:node) $(location //tools/dashboard:build/bundle.mjs)" +
              " --modules=$$(dirname $(location @dashboard_npm//:package.json))/node_modules" +
              " --platform=node --out=$@ $(location %s.ts)" % name,
        tools = [
            "//tools/dashboard:build/bundle.mjs",
            "@dashboard_npm//:esbuild",
            "@dashboard_npm//:node",
            "@dashboard_npm//:package.json",
            "@dashboard_npm//:scope_esbuild",
        ],
        testonly = True,
    )
    node_test(
        name = name,
        script = name + ".mjs",
        size = "small",
        **kwargs
    )
