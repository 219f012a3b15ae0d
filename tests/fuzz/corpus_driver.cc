// Runs a fuzz function without libFuzzer: over every file of a corpus folder, then over changed
// copies of them. So each decoder meets hostile bytes in every test run, with GCC and under every
// sanitizer; libFuzzer itself (--config=fuzz) needs Clang and time.
//
//   corpus_driver FOLDER MUTATIONS [CASE]
//
// The changes come from a fixed seed: a failing run fails again. Whatever ends the process (a
// check, a sanitizer, a signal), the number of the case is printed and its bytes are kept in
// $TEST_UNDECLARED_OUTPUTS_DIR/crash; CASE repeats that one alone.
//
// An empty or missing corpus is a failure: such a test could not fail otherwise.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// Present when a sanitizer is linked; called before it ends the process.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

constexpr uint64_t kSeed = 20240229;
constexpr size_t kMaxInputBytes = 1 << 20;

using Bytes = std::vector<uint8_t>;

// The case that runs now, for the report of a crash: plain memory, so that a signal handler may
// read it.
const uint8_t* current_data = nullptr;
size_t current_size = 0;
char current_title[512] = "none";
char crash_path[4096] = "";

void ReportCrash() {
  const auto print = [](const char* text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
  };
  print("\ncorpus_driver: failed in ");
  print(current_title);
  print("\n");
  if (crash_path[0] == '\0') return;
  const int file = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) return;
  if (write(file, current_data, current_size) == static_cast<ssize_t>(current_size)) {
    print("corpus_driver: its bytes are in ");
    print(crash_path);
    print("\n");
  }
  close(file);
}

void OnSignal(int signal_number) {
  ReportCrash();
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void ReportEveryEnd() {
  if (const char* folder = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR")) {
    snprintf(crash_path, sizeof(crash_path), "%s/crash", folder);
  }
  if (&__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(&ReportCrash);
    signal(SIGABRT, &OnSignal);  // our own checks; the rest is the sanitizer's
    return;
  }
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(number, &OnSignal);
}

void Run(const Bytes& input, const std::string& title) {
  // A copy of exactly this size, so that a sanitizer sees a read one byte past the end.
  const Bytes exact(input.begin(), input.end());
  current_data = exact.data();
  current_size = exact.size();
  snprintf(current_title, sizeof(current_title), "%s", title.c_str());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

// One to four small changes: what damaged files and careless or hostile senders look like.
Bytes Mutate(const std::vector<Bytes>& corpus, std::mt19937_64& random) {
  // Not std::uniform_int_distribution: its numbers differ between standard libraries.
  const auto below = [&random](size_t limit) -> size_t { return limit ? random() % limit : 0; };
  constexpr uint8_t kInteresting[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff, '0', '"', '{', '\\'};
  Bytes bytes = corpus[below(corpus.size())];
  for (size_t change = 0, count = 1 + below(4); change < count; ++change) {
    const size_t at = below(bytes.size());
    const size_t length = std::min(1 + below(16), bytes.size() - at);
    const auto begin = bytes.begin() + static_cast<ptrdiff_t>(at);
    switch (bytes.empty() ? 4 : below(8)) {
      case 0:
        bytes[at] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 1:
        bytes[at] = kInteresting[below(std::size(kInteresting))];
        break;
      case 2:
        bytes.erase(begin, begin + static_cast<ptrdiff_t>(length));
        break;
      case 3:
        bytes.resize(at);
        break;
      case 4: {
        const Bytes inserted(1 + below(16), kInteresting[below(std::size(kInteresting))]);
        bytes.insert(begin, inserted.begin(), inserted.end());
        break;
      }
      case 5: {
        const Bytes repeated(begin, begin + static_cast<ptrdiff_t>(length));
        bytes.insert(begin, repeated.begin(), repeated.end());
        break;
      }
      case 6: {
        // The head of one and the tail of another.
        const Bytes& other = corpus[below(corpus.size())];
        bytes.resize(at);
        bytes.insert(bytes.end(), other.begin() + static_cast<ptrdiff_t>(below(other.size())),
                     other.end());
        break;
      }
      default:
        for (size_t i = at; i < at + length; ++i) bytes[i] = static_cast<uint8_t>(random());
        break;
    }
  }
  if (bytes.size() > kMaxInputBytes) bytes.resize(kMaxInputBytes);
  return bytes;
}

std::vector<Bytes> ReadCorpus(const std::filesystem::path& folder,
                              std::vector<std::string>* names) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    if (at->is_regular_file()) paths.push_back(at->path());
  }
  std::sort(paths.begin(), paths.end());  // the order of a folder is the file system's
  std::vector<Bytes> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    names->push_back(path.string());
  }
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s FOLDER MUTATIONS [CASE]\n", argv[0]);
    return 2;
  }
  const long mutations = std::atol(argv[2]);
  const long only = argc > 3 ? std::atol(argv[3]) : -1;
  std::vector<std::string> names;
  const std::vector<Bytes> corpus = ReadCorpus(argv[1], &names);
  if (corpus.empty()) {
    fprintf(stderr, "no corpus in %s: add at least one valid input\n", argv[1]);
    return 1;
  }
  ReportEveryEnd();
  if (only < 0) {
    Run({}, "the empty input");
    for (size_t i = 0; i < corpus.size(); ++i) Run(corpus[i], names[i]);
  }
  std::mt19937_64 random(kSeed);
  for (long i = 0; i < mutations; ++i) {
    const Bytes input = Mutate(corpus, random);
    if (only < 0 || only == i) Run(input, "mutation, case " + std::to_string(i));
  }
  printf("%zu seeds, %ld mutations (seed %llu): no failure\n", corpus.size(), mutations,
         static_cast<unsigned long long>(kSeed));
  return 0;
}
