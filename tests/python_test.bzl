"""python_test: a test in Python, run by the machine's own interpreter with its standard library only."""

def python_test(name, args = [], data = [], **kwargs):
    """Runs NAME.py. A sh_test, because Bazel's py_test looks for interpreters Debian does not have.

    Args:
      name: of the test, and of its file without .py
      args: of the program; $(location) works for data
      data: the modules it imports and whatever it reads
      **kwargs: size, tags
    """
    native.sh_test(
        name = name,
        srcs = ["//tests:run_python.sh"],
        args = ["$(location %s.py)" % name] + args,
        data = data + [name + ".py"],
        **kwargs
    )
