#include "lib/lsm/wal_reader.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::lsm {
namespace {

constexpr size_t kWindowBytes = 64 << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<WalReader>> WalReader::Open(const RandomAccessFile* file,
                                                           std::string name, uint32_t kind,
                                                           uint64_t number) {
  TINYOBS_ASSIGN_OR_RETURN(const uint64_t file_bytes, file->Size());
  std::unique_ptr<WalReader> reader(new WalReader(file, std::move(name), number, file_bytes));
  TINYOBS_RETURN_IF_ERROR(reader->ReadHeader(kind));
  return reader;
}

absl::StatusOr<std::string_view> WalReader::Peek(size_t count) {
  const uint64_t left = file_bytes_ - next_offset_;
  count = static_cast<size_t>(std::min<uint64_t>(count, left));
  const bool inside =
      next_offset_ >= window_offset_ && next_offset_ + count <= window_offset_ + window_.size();
  if (!inside) {
    const size_t wanted =
        static_cast<size_t>(std::min<uint64_t>(std::max(count, kWindowBytes), left));
    window_.resize(wanted);
    if (window_.capacity() > 4 * std::max(wanted, kWindowBytes)) window_.shrink_to_fit();
    window_offset_ = next_offset_;
    TINYOBS_ASSIGN_OR_RETURN(const size_t got, file_->Read(next_offset_, wanted, window_.data()));
    if (got != wanted) {  // the writer has cut off zeros that it had allocated
      window_.resize(got);
      file_bytes_ = next_offset_ + got;
      count = std::min(count, got);
    }
  }
  return std::string_view(window_).substr(next_offset_ - window_offset_, count);
}

absl::StatusOr<bool> WalReader::PeekFrame(uint64_t log_number, FrameType* type,
                                          std::string_view* payload, std::string* reason) {
  TINYOBS_ASSIGN_OR_RETURN(const std::string_view head, Peek(kFrameHeaderBytes));
  if (head.size() < kFrameHeaderBytes) {
    *reason = StrCat("expected a frame header, found ", head.size(), " bytes");
    return false;
  }
  const uint32_t checksum = LoadFixed32(head.data());
  const uint32_t word = LoadFixed32(head.data() + 4);
  if (word == 0) {  // never written: zeros that were allocated in advance
    *reason = "expected a frame, found zeros";
    return false;
  }
  const uint64_t size = kFrameHeaderBytes + FrameLength(word);
  if (size > file_bytes_ - next_offset_) {
    *reason = StrCat("expected a frame of ", size, " bytes, found ", file_bytes_ - next_offset_);
    return false;
  }
  TINYOBS_ASSIGN_OR_RETURN(const std::string_view frame, Peek(size));
  if (frame.size() < size) {
    *reason = StrCat("expected a frame of ", size, " bytes, found ", frame.size());
    return false;
  }
  const uint32_t computed = FrameChecksum(frame.substr(4), log_number, next_offset_);
  if (computed != checksum) {
    *reason = StrCat("expected checksum ", checksum, ", found ", computed);
    return false;
  }
  *type = FrameTypeOf(word);
  *payload = frame.substr(kFrameHeaderBytes);
  return true;
}

absl::Status WalReader::ReadHeader(uint32_t kind) {
  FrameType type;
  std::string_view payload;
  std::string reason;
  TINYOBS_ASSIGN_OR_RETURN(const bool good, PeekFrame(0, &type, &payload, &reason));
  if (!good) return EndAtBadFrame(reason);
  if (type != FrameType::kHeader || payload.size() < 12 ||
      LoadFixed64(payload.data()) != kWalMagic) {
    return absl::DataLossError(StrCat(name_, ": offset 0: not a TinyObs log"));
  }
  const uint32_t version = LoadFixed32(payload.data() + 8);
  if (version != kWalFormatVersion) {
    return absl::FailedPreconditionError(StrCat(name_, ": log format version ", version,
                                                "; this program reads ", kWalFormatVersion));
  }
  if (payload.size() != kHeaderPayloadBytes) {
    return absl::DataLossError(StrCat(name_, ": offset 0: expected a header of ",
                                      kHeaderPayloadBytes, " bytes, found ", payload.size()));
  }
  identity_.kind = LoadFixed32(payload.data() + 12);
  identity_.number = LoadFixed64(payload.data() + 16);
  identity_.previous = LoadFixed64(payload.data() + 24);
  if (identity_.kind != kind || identity_.number != number_) {
    return absl::DataLossError(StrCat(name_, ": offset 0: expected log ", number_, " of kind ",
                                      kind, ", found log ", identity_.number, " of kind ",
                                      identity_.kind));
  }
  next_offset_ = kFrameHeaderBytes + payload.size();
  return absl::OkStatus();
}

absl::StatusOr<bool> WalReader::Next(std::string_view* record) {
  TINYOBS_RETURN_IF_ERROR(status_);
  while (!ended_) {
    if (next_offset_ == file_bytes_) {
      ended_ = true;
      break;
    }
    FrameType type;
    std::string_view payload;
    std::string reason;
    absl::StatusOr<bool> good = PeekFrame(number_, &type, &payload, &reason);
    if (!good.ok()) return status_ = std::move(good).status();
    if (!*good) {
      status_ = EndAtBadFrame(reason);
      TINYOBS_RETURN_IF_ERROR(status_);
      break;
    }
    const uint64_t offset = next_offset_;
    switch (type) {
      case FrameType::kRecord:
        next_offset_ += kFrameHeaderBytes + payload.size();
        record_offset_ = offset;
        ++records_;
        *record = payload;
        return true;
      case FrameType::kMark:
        if (payload.size() != kMarkPayloadBytes || LoadFixed64(payload.data()) > offset) break;
        durable_bytes_ = std::max(durable_bytes_, LoadFixed64(payload.data()));
        next_offset_ += kFrameHeaderBytes + payload.size();
        continue;
      case FrameType::kSeal: {
        next_offset_ += kFrameHeaderBytes + payload.size();
        sealed_ = true;
        ended_ = true;
        absl::StatusOr<Rest> rest = ReadRest();
        if (!rest.ok()) return status_ = std::move(rest).status();
        torn_bytes_ = rest->bytes;
        continue;
      }
      case FrameType::kHeader:
        break;
    }
    if (next_offset_ == offset) {  // a good checksum over nonsense: not an accident of a crash
      return status_ = absl::DataLossError(
                 StrCat(name_, ": offset ", offset, ": unexpected frame of type ",
                        static_cast<int>(type), " and ", payload.size(), " bytes"));
    }
  }
  return false;
}

absl::Status WalReader::EndAtBadFrame(const std::string& reason) {
  TINYOBS_ASSIGN_OR_RETURN(const Rest rest, ReadRest());
  bool is_good_now = false;
  if (rest.largest_mark > next_offset_) {
    // In a log that another process writes, the frame may have become whole, and the mark have come
    // behind it, after the first look.
    FrameType type;
    std::string_view payload;
    std::string unused;
    window_.clear();
    const uint64_t log_number = next_offset_ == 0 ? 0 : number_;
    TINYOBS_ASSIGN_OR_RETURN(is_good_now, PeekFrame(log_number, &type, &payload, &unused));
  }
  if (rest.largest_mark > next_offset_ && !is_good_now) {
    return absl::DataLossError(StrCat(name_, ": offset ", next_offset_, ": ", reason,
                                      "; a later mark says that the first ", rest.largest_mark,
                                      " bytes were durable"));
  }
  ended_ = true;
  torn_bytes_ = is_good_now ? 0 : rest.bytes;
  return absl::OkStatus();
}

absl::StatusOr<WalReader::Rest> WalReader::ReadRest() const {
  constexpr size_t kMarkFrameBytes = kFrameHeaderBytes + kMarkPayloadBytes;
  constexpr uint32_t kWord = FrameWord(FrameType::kMark, kMarkPayloadBytes);
  Rest rest;
  std::string window;
  // Windows overlap by a mark less one byte, so each position is the start of one window's match.
  for (uint64_t at = next_offset_; at < file_bytes_;) {
    window.resize(static_cast<size_t>(std::min<uint64_t>(kWindowBytes, file_bytes_ - at)));
    TINYOBS_ASSIGN_OR_RETURN(const size_t got, file_->Read(at, window.size(), window.data()));
    window.resize(got);
    const size_t last = window.find_last_not_of('\0');
    if (last != std::string::npos) rest.bytes = at + last + 1 - next_offset_;
    if (got < kMarkFrameBytes) break;
    for (size_t i = 0; last != std::string::npos && i + kMarkFrameBytes <= got; ++i) {
      const char* const frame = window.data() + i;
      if (LoadFixed32(frame + 4) != kWord) continue;
      const std::string_view checked(frame + 4, kMarkFrameBytes - 4);
      if (FrameChecksum(checked, number_, at + i) != LoadFixed32(frame)) continue;
      const uint64_t durable = LoadFixed64(frame + kFrameHeaderBytes);
      if (durable <= at + i) rest.largest_mark = std::max(rest.largest_mark, durable);
    }
    if (at + got >= file_bytes_) break;
    at += got - (kMarkFrameBytes - 1);
  }
  return rest;
}

}  // namespace tinyobs::lsm
