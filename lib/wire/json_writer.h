// JsonWriter: RapidJSON's writer over a std::string, with our numbers.
//
// A thin layer for two reasons only: RapidJSON's own doubles are not the shortest, and its strings
// are not those of Go, which the original and Prometheus are written in: bytes that are not UTF-8
// become U+FFFD instead of a text that every strict reader refuses as a whole (labels never have
// them, but an error message may quote a URL), and what a browser or JavaScript could take for more
// than text ("<", ">", "&", U+2028, U+2029) is escaped.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_WIRE_JSON_WRITER_H_
#define TINYOBS_LIB_WIRE_JSON_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/wire/number.h"
#include "rapidjson/writer.h"

namespace tinyobs::wire {

// `text` as a JSON string, quotes included, byte by byte as Go's encoding/json (up to 1.21) and
// Prometheus write it: \n, \r, \t, \", \\, and \u00xx for all else that needs an escape.
void AppendGoString(std::string_view text, std::string* out);
// False: RapidJSON's plain string is the same.
bool NeedsGoEscapes(std::string_view text);

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
    if (NeedsGoEscapes(text)) [[unlikely]] {
      text_.clear();
      AppendGoString(text, &text_);
      writer_.RawValue(text_.data(), text_.size(), rapidjson::kStringType);
      return;
    }
    // RapidJSON wants a pointer even for no bytes.
    writer_.String(text.empty() ? "" : text.data(), static_cast<rapidjson::SizeType>(text.size()));
  }
  // Shortest round-trip decimal; null for NaN and infinities.
  void Number(double value) {
    text_.clear();
    AppendJsonNumber(value, &text_);
    writer_.RawValue(text_.data(), text_.size(), rapidjson::kNumberType);
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
  std::string text_;
};

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_JSON_WRITER_H_
