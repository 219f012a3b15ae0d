// Numbers into a block, blocks into the string.
#include "lib/wire/prometheus_json.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "lib/base/decimal.h"
#include "lib/base/strings.h"
#include "lib/wire/json_writer.h"
#include "lib/wire/number.h"

namespace tinyobs::wire {
namespace {

// "-9223372036854775.808" and "-0.00000" with 17 digits, and brackets, quotes and commas.
constexpr size_t kMostPointBytes = 80;
constexpr size_t kBlockBytes = 8 << 10;
// What a list reserves at most, however large it will be by its first element.
constexpr size_t kMostReservedBytes = 256 << 20;

char* WriteText(std::string_view text, char* at) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

// REQUIRES: below 1000.
char* WriteThreeDigits(uint64_t value, char* at) {
  at[0] = static_cast<char>('0' + value / 100);
  at[1] = static_cast<char>('0' + value / 10 % 10);
  at[2] = static_cast<char>('0' + value % 10);
  return at + 3;
}

char* WriteTime(int64_t timestamp_ms, char* at) {
  uint64_t ms = static_cast<uint64_t>(timestamp_ms);
  if (timestamp_ms < 0) {
    *at++ = '-';
    ms = -ms;
  }
  at = std::to_chars(at, at + 20, ms / 1000).ptr;
  if (ms % 1000 == 0) return at;
  *at++ = '.';
  return WriteThreeDigits(ms % 1000, at);
}

// A decimal of at most 15 digits that reads back as `value` is the shortest: two such never read
// back as the same. So what has at most three decimals needs no search.
char* WriteValue(double value, char* at) {
  const double magnitude = std::fabs(value);
  if (magnitude < 1e12 && std::bit_cast<uint64_t>(value) != std::bit_cast<uint64_t>(-0.0)) {
    const auto thousandths = static_cast<int64_t>(magnitude * 1000 + 0.5);
    if (static_cast<double>(thousandths) / 1000 == magnitude) {
      if (value < 0) *at++ = '-';
      at = std::to_chars(at, at + 20, thousandths / 1000).ptr;
      if (thousandths % 1000 == 0) return at;
      *at++ = '.';
      at = WriteThreeDigits(static_cast<uint64_t>(thousandths % 1000), at);
      while (at[-1] == '0') --at;
      return at;
    }
  }
  if (std::isnan(value)) return WriteText("NaN", at);
  if (std::isinf(value)) return WriteText(value > 0 ? "+Inf" : "-Inf", at);
  if (magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21)) return WriteDecimal(value, at);
  return std::to_chars(at, at + 40, value, std::chars_format::scientific).ptr;
}

// [1.5,"2"]
char* WritePoint(int64_t timestamp_ms, double value, char* at) {
  *at++ = '[';
  at = WriteTime(timestamp_ms, at);
  at = WriteText(",\"", at);
  at = WriteValue(value, at);
  return WriteText("\"]", at);
}

void AppendPoint(int64_t timestamp_ms, double value, std::string* out) {
  char buffer[kMostPointBytes];
  out->append(buffer, static_cast<size_t>(WritePoint(timestamp_ms, value, buffer) - buffer));
}

// [[1.5,"2"],...]
bool AppendPoints(const Columns& points, const MayGrow& may_grow, std::string* out) {
  char block[kBlockBytes];
  char* at = block;
  *at++ = '[';
  for (size_t i = 0; i < points.size(); ++i) {
    if (i > 0) *at++ = ',';
    at = WritePoint(points.timestamps_ms[i], points.values[i], at);
    if (at > block + kBlockBytes - kMostPointBytes) {
      out->append(block, static_cast<size_t>(at - block));
      at = block;
      if (may_grow && !may_grow(out->size())) return false;
    }
  }
  *at++ = ']';
  out->append(block, static_cast<size_t>(at - block));
  return !may_grow || may_grow(out->size());
}

// Without a JsonWriter: its stack alone costs more.
void AppendLabels(const Labels& labels, std::string* out) {
  char before = '{';
  for (const Label label : labels) {
    out->push_back(std::exchange(before, ','));
    AppendGoString(label.name, out);
    out->push_back(':');
    AppendGoString(label.value, out);
  }
  if (before == '{') out->push_back('{');
  out->push_back('}');
}

// One list: `write(i)` appends element i, false when it may not grow.
template <typename Write>
bool AppendList(size_t count, const MayGrow& may_grow, std::string* out, const Write& write) {
  constexpr size_t kStepBytes = 32 << 10;
  const size_t begin = out->size();
  size_t asked = begin;
  out->push_back('[');
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) out->push_back(',');
    if (!write(i)) return false;
    if (i == 0) {
      // As if all were like the first, and a quarter more: were it too little, the text would be
      // copied, and be in memory twice. What is too much is never touched.
      const size_t first = out->size() - begin;
      out->reserve(begin + std::min(kMostReservedBytes, (first + first / 4) * count));
    }
    if (out->size() - asked > kStepBytes || i + 1 == count) {
      asked = out->size();
      if (may_grow && !may_grow(asked)) return false;
    }
  }
  out->push_back(']');
  return true;
}

bool AppendVector(std::span<const InstantSample> vector, bool values_too, const MayGrow& may_grow,
                  std::string* out) {
  return AppendList(vector.size(), may_grow, out, [&](size_t i) {
    out->append("{\"metric\":");
    AppendLabels(vector[i].labels, out);
    out->append(",\"value\":");
    AppendPoint(vector[i].timestamp_ms, vector[i].value, out);
    if (values_too) {
      out->append(",\"values\":[");
      AppendPoint(vector[i].timestamp_ms, vector[i].value, out);
      out->push_back(']');
    }
    out->push_back('}');
    return true;
  });
}

bool AppendMatrix(std::span<const SeriesSamples> matrix, const MayGrow& may_grow,
                  std::string* out) {
  return AppendList(matrix.size(), may_grow, out, [&](size_t i) {
    out->append("{\"metric\":");
    AppendLabels(matrix[i].labels, out);
    out->append(",\"values\":");
    if (!AppendPoints(matrix[i].samples, may_grow, out)) return false;
    out->push_back('}');
    return true;
  });
}

// [seconds,"text"]: their time has only the decimals it needs.
void AppendScalar(const Sample& scalar, std::string* out) {
  out->push_back('[');
  AppendJsonNumber(static_cast<double>(scalar.timestamp_ms) / 1000, out);
}

void AppendStats(const QueryStats& stats, const QueryTimings& timings, std::string* out) {
  JsonWriter json(out);
  json.StartObject();
  json.Key("timings");
  json.StartObject();
  const auto field = [&json](std::string_view name, double seconds) {
    json.Key(name);
    json.Number(seconds);
  };
  field("evalTotalTime", timings.evaluation);
  field("resultSortTime", 0);
  field("queryPreparationTime", 0);
  field("innerEvalTime", timings.evaluation);
  field("execQueueTime", timings.queue);
  field("execTotalTime", timings.queue + timings.evaluation);
  json.EndObject();
  json.Key("samples");
  json.StartObject();
  json.Field("totalQueryableSamples", stats.samples_read);
  json.Field("peakSamples", stats.peak_samples);
  json.EndObject();
  json.EndObject();
}

}  // namespace

void AppendSampleValue(double value, std::string* out) {
  char buffer[kMostPointBytes];
  out->append(buffer, static_cast<size_t>(WriteValue(value, buffer) - buffer));
}

void AppendSampleTime(int64_t timestamp_ms, std::string* out) {
  char buffer[kMostPointBytes];
  out->append(buffer, static_cast<size_t>(WriteTime(timestamp_ms, buffer) - buffer));
}

bool AppendQueryData(const QueryResult& result, const QueryJsonOptions& options,
                     const MayGrow& may_grow, std::string* out) {
  constexpr std::string_view kTypes[] = {"scalar", "string", "vector", "matrix"};
  StrAppend(out, R"({"resultType":")", kTypes[static_cast<size_t>(result.type)], R"(","result":)");
  switch (result.type) {
    case QueryResult::Type::kScalar: {
      AppendScalar(result.scalar, out);
      out->append(",\"");
      // Plain decimals whatever the size, other than samples: up to 309 digits, or 324 decimals.
      char buffer[kMostDecimalBytes];
      const char* const end = WriteDecimal(result.scalar.value, buffer);
      out->append(buffer, static_cast<size_t>(end - buffer));
      out->append("\"]");
      break;
    }
    case QueryResult::Type::kString:
      AppendScalar(result.scalar, out);
      out->push_back(',');
      JsonWriter(out).String(result.string);
      out->push_back(']');
      break;
    case QueryResult::Type::kVector:
      if (!AppendVector(result.vector, options.values_too, may_grow, out)) return false;
      break;
    case QueryResult::Type::kMatrix:
      if (!AppendMatrix(result.matrix, may_grow, out)) return false;
      break;
  }
  if (options.timings != nullptr) {
    out->append(",\"stats\":");
    AppendStats(result.stats, *options.timings, out);
  }
  out->push_back('}');
  return true;
}

bool AppendLabelSets(std::span<const Labels> sets, const MayGrow& may_grow, std::string* out) {
  return AppendList(sets.size(), may_grow, out, [&](size_t i) {
    AppendLabels(sets[i], out);
    return true;
  });
}

bool AppendStrings(std::span<const std::string> texts, const MayGrow& may_grow, std::string* out) {
  return AppendList(texts.size(), may_grow, out, [&](size_t i) {
    AppendGoString(texts[i], out);
    return true;
  });
}

void AppendSuccessEnd(std::span<const std::string> warnings, std::string* out) {
  if (!warnings.empty()) {
    out->append(",\"warnings\":");
    AppendStrings(warnings, nullptr, out);
  }
  out->push_back('}');
}

std::string PrometheusErrorJson(std::string_view type, std::string_view message) {
  std::string body;
  JsonWriter json(&body);
  json.StartObject();
  json.Field("status", "error");
  json.Field("errorType", type);
  json.Field("error", message);
  json.EndObject();
  return body;
}

}  // namespace tinyobs::wire
