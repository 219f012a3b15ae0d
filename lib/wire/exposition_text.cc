// HELP escapes backslash and newline, label values the double quote as well.
#include "lib/wire/exposition_text.h"

#include "lib/base/strings.h"
#include "lib/model/text.h"
#include "lib/wire/number.h"

namespace tinyobs::wire {

void ExpositionWriter::Family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = std::string(name);
  StrAppend(&out_, "# HELP ", name, " ");
  for (const char c : help) {
    if (c == '\\') {
      out_.append("\\\\");
    } else if (c == '\n') {
      out_.append("\\n");
    } else {
      out_.push_back(c);
    }
  }
  StrAppend(&out_, "\n# TYPE ", name, " ", type, "\n");
}

void ExpositionWriter::Sample(
    double value, std::initializer_list<std::pair<std::string_view, std::string_view>> labels) {
  out_.append(name_);
  char separator = '{';
  for (const auto& [name, text] : labels) {
    out_.push_back(separator);
    separator = ',';
    AppendLabelName(name, &out_);
    out_.push_back('=');
    AppendQuoted(text, &out_);
  }
  if (separator == ',') out_.push_back('}');
  out_.push_back(' ');
  AppendTextNumber(value, &out_);
  out_.push_back('\n');
}

}  // namespace tinyobs::wire
