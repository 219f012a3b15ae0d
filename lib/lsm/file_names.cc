#include "lib/lsm/file_names.h"

#include <algorithm>
#include <charconv>

#include "lib/base/strings.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::lsm {
namespace {

constexpr std::string_view kManifestPrefix = "MANIFEST-";
constexpr std::string_view kLogSuffix = ".log";
constexpr std::string_view kTableSuffix = ".sst";

std::string SixDigits(uint64_t number) { return StrCat(absl::Dec(number, absl::kZeroPad6)); }

bool ParseNumber(std::string_view digits, uint64_t* number) {
  const char* const end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, *number);
  return result.ec == std::errc() && result.ptr == end && SixDigits(*number) == digits;
}

bool EndsWith(std::string_view text, std::string_view suffix) { return text.ends_with(suffix); }

}  // namespace

std::string LogFileName(const std::string& folder, uint64_t number) {
  return StrCat(folder, "/", SixDigits(number), kLogSuffix);
}
std::string TableFileName(const std::string& folder, uint64_t number) {
  return StrCat(folder, "/", SixDigits(number), kTableSuffix);
}
std::string ManifestBaseName(uint64_t number) { return StrCat(kManifestPrefix, SixDigits(number)); }
std::string ManifestFileName(const std::string& folder, uint64_t number) {
  return StrCat(folder, "/", ManifestBaseName(number));
}
std::string CurrentFileName(const std::string& folder) { return StrCat(folder, "/CURRENT"); }
std::string LockFileName(const std::string& folder) { return StrCat(folder, "/LOCK"); }
std::string LostFolderName(const std::string& folder) { return StrCat(folder, "/lost"); }

ParsedFileName ParseFileName(std::string_view name) {
  ParsedFileName parsed;
  if (name == "CURRENT") {
    parsed.type = FileType::kCurrent;
  } else if (name == "LOCK") {
    parsed.type = FileType::kLock;
  } else if (name == TemporaryNameFor("CURRENT")) {
    parsed.type = FileType::kTemporary;
  } else if (name.starts_with(kManifestPrefix)) {
    if (ParseNumber(name.substr(kManifestPrefix.size()), &parsed.number)) {
      parsed.type = FileType::kManifest;
    }
  } else if (EndsWith(name, kLogSuffix) || EndsWith(name, kTableSuffix)) {
    if (ParseNumber(name.substr(0, name.size() - kLogSuffix.size()), &parsed.number)) {
      parsed.type = EndsWith(name, kLogSuffix) ? FileType::kLog : FileType::kTable;
    }
  }
  return parsed;
}

std::vector<uint64_t> LogNumbers(const std::vector<std::string>& names, uint64_t first) {
  std::vector<uint64_t> numbers;
  for (const std::string& name : names) {
    const ParsedFileName parsed = ParseFileName(name);
    if (parsed.type == FileType::kLog && parsed.number >= first) numbers.push_back(parsed.number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace tinyobs::lsm
