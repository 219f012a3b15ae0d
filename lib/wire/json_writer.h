// JsonWriter: RapidJSON's writer over a std::string, with our numbers.
//
// A thin layer for two reasons only: RapidJSON's own doubles are not the shortest, and it copies
// bytes that are not UTF-8 into the text, which every strict reader then refuses as a whole. Here
// such bytes become U+FFFD; labels never have them, but an error message may quote a URL.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_WIRE_JSON_WRITER_H_
#define TINYOBS_LIB_WIRE_JSON_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/model/utf8.h"
#include "lib/wire/number.h"
#include "rapidjson/writer.h"

namespace tinyobs::wire {

// `text` with every byte that is not part of well-formed UTF-8 replaced by U+FFFD.
std::string ReplaceBadUtf8(std::string_view text);

class JsonWriter {
 public:
  // Appends to `out`, which must outlive this object.
  explicit JsonWriter(std::string* out) : sink_{out}, writer_(sink_) {}

  void StartObject() { writer_.StartObject(); }
  void EndObject() { writer_.EndObject(); }
  void StartArray() { writer_.StartArray(); }
  void EndArray() { writer_.EndArray(); }
  void Bool(bool value) { writer_.Bool(value); }
  void Int(int64_t value) { writer_.Int64(value); }
  void Uint(uint64_t value) { writer_.Uint64(value); }

  void Key(std::string_view key) { String(key); }
  void String(std::string_view text) {
    if (!IsValidUtf8(text)) [[unlikely]] {
      const std::string repaired = ReplaceBadUtf8(text);
      writer_.String(repaired.data(), static_cast<rapidjson::SizeType>(repaired.size()));
      return;
    }
    // RapidJSON wants a pointer even for no bytes.
    writer_.String(text.empty() ? "" : text.data(), static_cast<rapidjson::SizeType>(text.size()));
  }
  // Shortest round-trip decimal; null for NaN and infinities.
  void Number(double value) {
    number_.clear();
    AppendJsonNumber(value, &number_);
    writer_.RawValue(number_.data(), number_.size(), rapidjson::kNumberType);
  }

  void Field(std::string_view key, std::string_view value) {
    Key(key);
    String(value);
  }
  void Field(std::string_view key, uint64_t value) {
    Key(key);
    Uint(value);
  }

 private:
  struct Sink {
    using Ch = char;
    std::string* out;
    void Put(char c) { out->push_back(c); }
    void Flush() {}
  };

  Sink sink_;
  rapidjson::Writer<Sink> writer_;
  std::string number_;
};

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_JSON_WRITER_H_
