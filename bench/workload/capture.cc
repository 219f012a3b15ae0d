#include "bench/workload/capture.h"

#include <bit>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

namespace tinyobs::bench {
namespace {

constexpr std::string_view kMagic = "TINYCAP1";

// Takes numbers and texts off the front; after the first that is not there, failed() is true and
// everything is 0 and empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  bool failed() const { return failed_; }
  bool AtEnd() const { return !failed_ && bytes_.empty(); }

  uint64_t Varint() {
    uint64_t number = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::string_view byte = Bytes(1);
      if (failed_) return 0;
      number |= uint64_t{static_cast<uint8_t>(byte[0]) & 0x7fu} << shift;
      if ((static_cast<uint8_t>(byte[0]) & 0x80) == 0) return number;
    }
    failed_ = true;
    return 0;
  }
  // A number of things of at least a byte each: never more than there are bytes left.
  size_t Count() {
    const uint64_t count = Varint();
    if (count > bytes_.size()) failed_ = true;
    return failed_ ? 0 : static_cast<size_t>(count);
  }
  std::string_view Text() { return Bytes(Varint()); }
  std::string_view Bytes(uint64_t count) {
    if (count > bytes_.size()) failed_ = true;
    if (failed_) return {};
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

class Capture final : public SampleSource {
 public:
  bool Read(Reader* reader) {
    if (reader->Bytes(kMagic.size()) != kMagic) return false;
    scrapes_.resize(reader->Count());
    int64_t time = 0;
    for (SampleColumns& scrape : scrapes_) {
      time += static_cast<int64_t>(reader->Varint());
      times_.push_back(time);
      static_cast<void>(scrape);
    }
    const size_t series = reader->Count();
    for (size_t i = 0; i < series; ++i) {
      if (!ReadSeries(reader)) return false;
    }
    return reader->AtEnd() && !scrapes_.empty() && !labels_.empty();
  }

  size_t series_count() const override { return labels_.size(); }
  Labels LabelsOf(size_t series) const override { return labels_[series]; }
  std::vector<Matcher> SelectorOf(size_t series) const override {
    std::vector<Matcher> matchers;
    for (const Label& label : labels_[series]) {
      matchers.push_back(Matcher::Equal(std::string(label.name), std::string(label.value)));
    }
    return matchers;
  }
  size_t scrape_count() const override { return scrapes_.size(); }
  void Scrape(size_t number, SampleColumns* out) override {
    *out = scrapes_[number];
    out->timestamps_ms.assign(out->series.size(), times_[number]);
  }

 private:
  bool ReadSeries(Reader* reader) {
    std::vector<Labels::Pair> pairs(reader->Count());
    for (auto& [name, value] : pairs) {
      name = reader->Text();
      value = reader->Text();
    }
    if (reader->failed()) return false;
    auto labels = Labels::Create(std::move(pairs));
    if (!labels.ok()) return false;
    const auto number = static_cast<uint32_t>(labels_.size());
    labels_.push_back(*std::move(labels));
    std::vector<size_t> present;
    size_t at = 0;
    for (size_t left = reader->Count(); left > 0; --left) {
      const uint64_t skipped = reader->Varint();
      const uint64_t length = reader->Varint();
      if (skipped > scrapes_.size() - at || length > scrapes_.size() - at - skipped) return false;
      at += skipped;
      for (const size_t end = at + length; at < end; ++at) present.push_back(at);
    }
    uint64_t bits = 0;
    for (const size_t scrape : present) {
      bits ^= __builtin_bswap64(reader->Varint());
      scrapes_[scrape].series.push_back(number);
      scrapes_[scrape].values.push_back(std::bit_cast<double>(bits));
    }
    return !reader->failed();
  }

  std::vector<Labels> labels_;
  std::vector<int64_t> times_;
  std::vector<SampleColumns> scrapes_;  // without their times
};

}  // namespace

std::unique_ptr<SampleSource> ReadCapture(const std::string& path, std::string* error) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.good() && bytes.empty()) {
    *error = path + ": cannot be read";
    return nullptr;
  }
  auto capture = std::make_unique<Capture>();
  Reader reader(bytes);
  if (!capture->Read(&reader)) {
    *error = path + ": not a whole capture file; make it anew with tools/bench capture";
    return nullptr;
  }
  return capture;
}

}  // namespace tinyobs::bench
