// The receiving half of lib/wire/ingest.h, over simdjson's on-demand parser.
//
// On-demand and not its DOM: the DOM reads an integer literal as int64, which loses the sign of -0
// and refuses 1e20 written out, while samples must come back bit for bit; and a DOM of a hostile
// body is ten times its size. The price is that on-demand looks at nothing it is not asked for, so
// values of unknown keys are walked here (Skip): a body is refused for a mistake wherever it is.
// Numbers are read by lib/wire/number.h (ParseNumber says why).
//
// Text after the first value is ignored, as the original's decoder does. simdjson indexes the whole
// text before it reads any of it and may stumble over what follows; only when it does, the end of
// the first value is searched for and the rest is cut off.
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/wire/ingest.h"
#include "lib/wire/number.h"
#include "lib/wire/rfc3339.h"
#include "simdjson.h"

namespace tinyobs::wire {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr int kMaxDepth = 64;

// A sample before it is checked; views point into the parser's string buffer.
struct RawSample {
  std::string_view name;
  std::string_view type;
  double value = 0;
  int64_t timestamp_ms = 0;
  bool has_time = false;
  // One more than allowed is enough to know that there are too many.
  std::array<std::pair<std::string_view, std::string_view>, kMaxIngestLabels + 1> labels;
  size_t label_count = 0;
};

bool IsJsonSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool EqualsIgnoringCase(std::string_view key, std::string_view lower) {
  if (key.size() != lower.size()) return false;
  for (size_t i = 0; i < key.size(); ++i) {
    const char c = key[i] >= 'A' && key[i] <= 'Z' ? static_cast<char>(key[i] + 32) : key[i];
    if (c != lower[i]) return false;
  }
  return true;
}

// Reads one body. Every function returns false after it has set message_.
class BodyReader {
 public:
  bool Read(ondemand::document& document) {
    ondemand::object root;
    if (!Check(document.get_object().get(root))) return false;
    return ForEachField(root, [this](std::string_view key, ondemand::value value) {
      if (!EqualsIgnoringCase(key, "metrics")) return Skip(value, 1);
      samples_.clear();  // the last one wins
      count_ = 0;
      return ReadMetrics(value);
    });
  }

  const std::string& message() const { return message_; }
  size_t count() const { return count_; }
  const std::vector<RawSample>& samples() const { return samples_; }

 private:
  bool Fail(std::string_view message) {
    message_ = std::string(message);
    return false;
  }
  bool Check(simdjson::error_code error) {
    return error == simdjson::SUCCESS || Fail(simdjson::error_message(error));
  }

  // null is "as if it were not there" wherever the original's decoder meets it.
  bool TakeNull(ondemand::value& value, bool* is_null) {
    ondemand::json_type type = ondemand::json_type::null;
    if (!Check(value.type().get(type))) return false;
    *is_null = type == ondemand::json_type::null;
    return !*is_null || ExpectNull(value);
  }
  // The type is told from the first letter alone; this looks at the others.
  bool ExpectNull(ondemand::value& value) {
    bool really = false;
    if (!Check(value.is_null().get(really))) return false;
    return really || Fail("a word that is not null, true or false");
  }

  template <typename Body>
  bool ForEachField(ondemand::object& object, const Body& body) {
    for (auto entry : object) {
      ondemand::field field;
      std::string_view key;
      if (!Check(std::move(entry).get(field))) return false;
      if (!Check(field.unescaped_key().get(key))) return false;
      if (!body(key, field.value())) return false;
    }
    return true;
  }

  // Checks a value nobody wants.
  bool Skip(ondemand::value value, int depth) {
    if (depth > kMaxDepth) return Fail("nested too deep");
    ondemand::json_type type = ondemand::json_type::null;
    if (!Check(value.type().get(type))) return false;
    switch (type) {
      case ondemand::json_type::object: {
        ondemand::object object;
        if (!Check(value.get_object().get(object))) return false;
        return ForEachField(object, [this, depth](std::string_view, ondemand::value inner) {
          return Skip(inner, depth + 1);
        });
      }
      case ondemand::json_type::array: {
        ondemand::array array;
        if (!Check(value.get_array().get(array))) return false;
        for (auto entry : array) {
          ondemand::value inner;
          if (!Check(std::move(entry).get(inner)) || !Skip(inner, depth + 1)) return false;
        }
        return true;
      }
      case ondemand::json_type::string: {
        std::string_view ignored;
        return Check(value.get_string().get(ignored));
      }
      case ondemand::json_type::number: {
        double ignored = 0;
        return ParseNumber(value, &ignored);
      }
      case ondemand::json_type::boolean: {
        bool ignored = false;
        return Check(value.get_bool().get(ignored));
      }
      case ondemand::json_type::null:
        return ExpectNull(value);
    }
    return Fail("unknown kind of value");
  }

  bool ReadMetrics(ondemand::value value) {
    bool is_null = false;
    if (!TakeNull(value, &is_null)) return false;
    if (is_null) return true;
    ondemand::array array;
    if (!Expect(value.get_array().get(array), "metrics must be an array")) return false;
    for (auto entry : array) {
      ondemand::value element;
      if (!Check(std::move(entry).get(element))) return false;
      // Beyond the limit only the syntax matters: bad JSON is reported before too many samples.
      if (++count_ > kMaxIngestSamples) {
        if (!Skip(element, 2)) return false;
      } else if (!ReadSample(element)) {
        return false;
      }
    }
    return true;
  }

  bool ReadSample(ondemand::value element) {
    RawSample& sample = samples_.emplace_back();
    bool is_null = false;
    if (!TakeNull(element, &is_null)) return false;
    if (is_null) return true;
    ondemand::object object;
    if (!Expect(element.get_object().get(object), "a metric must be an object")) return false;
    return ForEachField(object, [this, &sample](std::string_view key, ondemand::value value) {
      if (EqualsIgnoringCase(key, "name")) return ReadString(value, "name", &sample.name);
      if (EqualsIgnoringCase(key, "type")) return ReadString(value, "type", &sample.type);
      if (EqualsIgnoringCase(key, "value")) return ReadNumber(value, &sample.value);
      if (EqualsIgnoringCase(key, "labels")) return ReadLabels(value, &sample);
      if (EqualsIgnoringCase(key, "timestamp")) return ReadTime(value, &sample);
      return Skip(value, 3);
    });
  }

  bool ReadString(ondemand::value value, std::string_view what, std::string_view* out) {
    bool is_null = false;
    if (!TakeNull(value, &is_null)) return false;
    if (is_null) return true;
    const auto error = value.get_string().get(*out);
    if (error == simdjson::INCORRECT_TYPE) return Fail(StrCat(what, " must be a string"));
    return Check(error);
  }

  bool ReadNumber(ondemand::value value, double* out) {
    ondemand::json_type type = ondemand::json_type::null;
    if (!Check(value.type().get(type))) return false;
    if (type == ondemand::json_type::null) return ExpectNull(value);
    if (type != ondemand::json_type::number) return Fail("value must be a number");
    return ParseNumber(value, out);
  }

  // Not simdjson's get_double: version 3.0 overflows on 0.x with more than 19 significant digits
  // and answers a wrong number.
  bool ParseNumber(ondemand::value& value, double* out) {
    std::string_view token = value.raw_json_token();
    while (!token.empty() && IsJsonSpace(token.back())) token.remove_suffix(1);
    if (ParseJsonNumber(token, out)) return true;
    return Fail(StrCat("not a number of 64 bits: ", EscapeForMessage(token, 40)));
  }

  bool ReadTime(ondemand::value value, RawSample* sample) {
    bool is_null = false;
    if (!TakeNull(value, &is_null)) return false;
    if (is_null) return true;
    std::string_view text;
    if (!Expect(value.get_string().get(text), "timestamp must be a string")) return false;
    const auto time = ParseRfc3339(text);
    if (!time.has_value()) {
      return Fail(StrCat("timestamp \"", EscapeForMessage(text, 60), "\" is not RFC 3339"));
    }
    sample->has_time = !time->is_go_zero;
    sample->timestamp_ms = time->timestamp_ms;
    return true;
  }

  bool ReadLabels(ondemand::value value, RawSample* sample) {
    sample->label_count = 0;
    bool is_null = false;
    if (!TakeNull(value, &is_null)) return false;
    if (is_null) return true;
    ondemand::object object;
    if (!Expect(value.get_object().get(object), "labels must be an object")) return false;
    return ForEachField(object, [this, sample](std::string_view key, ondemand::value inner) {
      std::string_view text;
      if (!ReadString(inner, "a label value", &text)) return false;
      for (size_t i = 0; i < sample->label_count; ++i) {
        if (sample->labels[i].first == key) {
          sample->labels[i].second = text;
          return true;
        }
      }
      if (sample->label_count < sample->labels.size()) {
        sample->labels[sample->label_count++] = {key, text};
      }
      return true;
    });
  }

  bool Expect(simdjson::error_code error, std::string_view wrong_type_message) {
    if (error == simdjson::INCORRECT_TYPE) return Fail(wrong_type_message);
    return Check(error);
  }

  std::vector<RawSample> samples_;
  size_t count_ = 0;
  std::string message_;
};

std::string_view ReasonAgainst(const RawSample& sample) {
  if (sample.name.empty()) return "metric name cannot be empty";
  if (sample.name.size() > kMaxIngestNameBytes) return "metric name too long (max 256 chars)";
  if (sample.label_count > kMaxIngestLabels) return "too many labels (max 20)";
  for (size_t i = 0; i < sample.label_count; ++i) {
    const auto& [name, value] = sample.labels[i];
    if (name.size() > kMaxIngestLabelNameBytes) return "label key too long (max 256 chars)";
    if (value.size() > kMaxIngestLabelValueBytes) return "label value too long (max 1024 chars)";
    if (name.empty()) return "label key cannot be empty";
    if (name == kMetricName) return "label key __name__ is reserved for the metric name";
  }
  return {};
}

absl::StatusOr<IngestSample> Finish(const RawSample& raw, int64_t now_ms) {
  if (const std::string_view reason = ReasonAgainst(raw); !reason.empty()) {
    return absl::InvalidArgumentError(ToAbsl(reason));
  }
  std::vector<Labels::Pair> pairs;
  pairs.reserve(raw.label_count + 1);
  for (size_t i = 0; i < raw.label_count; ++i) {
    pairs.emplace_back(raw.labels[i].first, raw.labels[i].second);
  }
  IngestSample sample;
  TINYOBS_ASSIGN_OR_RETURN(sample.labels, Labels::Create(raw.name, std::move(pairs)));
  sample.type = std::string(raw.type);
  sample.timestamp_ms = raw.has_time ? raw.timestamp_ms : now_ms;
  sample.value = raw.value;
  return sample;
}

// Where the object or array at the start of `text` ends, or npos when it does not.
size_t EndOfFirstValue(std::string_view text) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth <= 1) return i + 1;
      --depth;
    }
  }
  return std::string_view::npos;
}

// The parser and the padded copy it reads from. Kept per thread, because allocating them costs more
// than parsing a usual body; a big body gets its own, so that one request cannot pin memory for the
// life of the thread.
struct ParseSpace {
  ondemand::parser parser;
  std::unique_ptr<char[]> text;
  size_t capacity = 0;

  simdjson::simdjson_result<ondemand::document> Parse(std::string_view body) {
    if (capacity < body.size() + simdjson::SIMDJSON_PADDING) {
      capacity = body.size() + body.size() / 2 + simdjson::SIMDJSON_PADDING;
      text = std::make_unique<char[]>(capacity);
    }
    body.copy(text.get(), body.size());
    std::fill_n(text.get() + body.size(), simdjson::SIMDJSON_PADDING, ' ');
    return parser.iterate(text.get(), body.size(), body.size() + simdjson::SIMDJSON_PADDING);
  }
};
constexpr size_t kLargeBodyBytes = 1 << 20;

bool TryRead(std::string_view body, ParseSpace* space, BodyReader* reader, std::string* message) {
  ondemand::document document;
  if (const auto error = space->Parse(body).get(document); error != simdjson::SUCCESS) {
    *message = simdjson::error_message(error);
    return false;
  }
  const bool ok = reader->Read(document);
  *message = reader->message();
  return ok;
}

absl::StatusOr<std::vector<IngestSample>> Decode(std::string_view body, int64_t now_ms,
                                                 ParseSpace* space) {
  BodyReader reader;
  BodyReader second_reader;
  const BodyReader* read = &reader;
  std::string message;
  if (!TryRead(body, space, &reader, &message)) {
    const size_t end = EndOfFirstValue(body);
    if (end < body.size()) {
      read = &second_reader;
      if (TryRead(body.substr(0, end), space, &second_reader, &message)) message.clear();
    }
    if (!message.empty()) return absl::InvalidArgumentError(StrCat("invalid JSON: ", message));
  }
  if (read->count() > kMaxIngestSamples) {
    return absl::InvalidArgumentError(
        StrCat("too many metrics in request (max ", kMaxIngestSamples, ")"));
  }
  std::vector<IngestSample> samples;
  samples.reserve(read->samples().size());
  for (size_t i = 0; i < read->samples().size(); ++i) {
    auto sample = Finish(read->samples()[i], now_ms);
    if (!sample.ok()) {
      return absl::InvalidArgumentError(
          StrCat(kInvalidMetricPrefix, i, ": ", FromAbsl(sample.status().message())));
    }
    samples.push_back(*std::move(sample));
  }
  return samples;
}

}  // namespace

absl::StatusOr<std::vector<IngestSample>> DecodeIngest(std::string_view body, int64_t now_ms) {
  while (!body.empty() && IsJsonSpace(body.front())) body.remove_prefix(1);
  if (body.empty()) return absl::InvalidArgumentError("invalid JSON: empty body");
  if (body.front() != '{') {
    if (body.starts_with("null") && (body.size() == 4 || IsJsonSpace(body[4]))) {
      return std::vector<IngestSample>();
    }
    return absl::InvalidArgumentError("invalid JSON: the body must be an object");
  }
  if (body.size() > kLargeBodyBytes) {
    const auto space = std::make_unique<ParseSpace>();
    return Decode(body, now_ms, space.get());
  }
  thread_local ParseSpace space;
  return Decode(body, now_ms, &space);
}

}  // namespace tinyobs::wire
