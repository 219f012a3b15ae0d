"""The system libraries the project links, one entry each. Licences are listed in third_party/README.md."""

load("//third_party:system_library.bzl", "system_library")

SYSTEM_LIBRARIES = {
    # The engine.
    "snappy": {
        "package": "libsnappy-dev",
        "headers": ["snappy.h"],
        "linkopts": ["-lsnappy"],
    },
    "xxhash": {
        "package": "libxxhash-dev",
        "modules": ["libxxhash"],
        "headers": ["xxhash.h"],
    },
    "absl_status": {
        "package": "libabsl-dev",
        "modules": ["absl_status", "absl_statusor", "absl_strings"],
    },
    "absl_strings": {
        "package": "libabsl-dev",
        "modules": ["absl_strings", "absl_str_format"],
    },
    "absl_containers": {
        "package": "libabsl-dev",
        "modules": ["absl_hash", "absl_raw_hash_set", "absl_flat_hash_map", "absl_flat_hash_set"],
    },
    "absl_time": {
        "package": "libabsl-dev",
        "modules": ["absl_time"],
    },
    "re2": {
        "package": "libre2-dev",
        "modules": ["re2"],
        "headers": ["re2/re2.h"],
    },
    # The edges: server, SDK transport, wire formats.
    "boost_asio": {
        "package": "libboost1.81-dev",
        "headers": ["boost/beast.hpp"],
        "linkopts": ["-pthread"],
    },
    "simdjson": {
        "package": "libsimdjson-dev",
        "modules": ["simdjson"],
        "headers": ["simdjson.h"],
    },
    "rapidjson": {
        "package": "rapidjson-dev",
        "headers": ["rapidjson/writer.h"],
    },
    "protozero": {
        "package": "libprotozero-dev",
        "headers": ["protozero/pbf_reader.hpp"],
    },
    "curl": {
        "package": "libcurl4-openssl-dev",
        "modules": ["libcurl"],
    },
    "zlib": {
        "package": "zlib1g-dev",
        "modules": ["zlib"],
    },
    # Tests and benchmarks.
    "gtest": {
        "package": "libgtest-dev libgmock-dev",
        "modules": ["gtest", "gmock"],
    },
    "gtest_main": {
        "package": "libgtest-dev libgmock-dev",
        "modules": ["gmock_main", "gtest", "gmock"],
    },
    "benchmark": {
        "package": "libbenchmark-dev",
        "linkopts": ["-lbenchmark", "-lbenchmark_main", "-pthread"],
        "headers": ["benchmark/benchmark.h"],
    },
}

def system_libraries():
    for name, attributes in SYSTEM_LIBRARIES.items():
        system_library(name = name, **attributes)
