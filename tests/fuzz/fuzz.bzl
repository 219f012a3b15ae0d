"""fuzz_target: one decoder's fuzz function, as an ordinary test and as a libFuzzer program."""

def fuzz_target(name, deps, mutations = 4000, size = "small"):
    """For NAME_fuzz.cc and the seeds in corpus/NAME/.

    NAME_corpus_test runs with every `bazel test`, also under the sanitizers: the seeds, then `mutations` changes of
    them from a fixed seed. NAME_fuzz searches for new inputs, without end:

        bazel build --config=fuzz //tests/fuzz:NAME_fuzz
        bazel-bin/tests/fuzz/NAME_fuzz tests/fuzz/corpus/NAME

    Args:
      name: of the decoder
      deps: what NAME_fuzz.cc uses
      mutations: how many changed inputs the test tries
      size: of the test
    """
    native.cc_test(
        name = name + "_corpus_test",
        size = size,
        srcs = [
            "corpus_driver.cc",
            name + "_fuzz.cc",
        ],
        args = [
            "tests/fuzz/corpus/" + name,
            str(mutations),
        ],
        data = native.glob(["corpus/%s/**" % name]),
        deps = deps,
    )
    native.cc_binary(
        name = name + "_fuzz",
        testonly = True,
        srcs = [name + "_fuzz.cc"],
        # Only libFuzzer brings a main().
        tags = ["manual"],
        deps = deps,
    )
