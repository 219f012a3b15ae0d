"""The native C++ rules under the names of rules_cc.

Debian's bazel-rules-cc needs a newer Bazel than Debian's bazel-bootstrap (4.2), so the handful of
names that Bazel's own repositories load is re-exported here."""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
objc_import = native.objc_import
objc_library = native.objc_library
