#include "lib/model/text.h"

namespace tinyobs {
namespace {

// Not <cctype>: those depend on the locale.
bool IsPlain(std::string_view name, bool colon_allowed) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || (colon_allowed && c == ':');
    if (!plain) return false;
  }
  return true;
}

}  // namespace

bool IsPlainMetricName(std::string_view name) { return IsPlain(name, true); }
bool IsPlainLabelName(std::string_view name) { return IsPlain(name, false); }

void AppendQuoted(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    if (c == '\n') {
      out->append("\\n");
      continue;
    }
    if (c == '"' || c == '\\') out->push_back('\\');
    out->push_back(c);
  }
  out->push_back('"');
}

void AppendLabelName(std::string_view name, std::string* out) {
  if (IsPlainLabelName(name)) {
    out->append(name);
  } else {
    AppendQuoted(name, out);
  }
}

}  // namespace tinyobs
