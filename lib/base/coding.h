// Integers as bytes: the encodings every file and wire format of the project is made of.
//
// Little-endian fixed width for fields read in place, big-endian for keys that must sort by value,
// LEB128 varints for small numbers, zigzag for signed ones. Writers append to a std::string;
// untrusted input is read through ByteReader, which never reads past its end and turns every
// violation into one sticky failure, so a decoder checks once per record instead of once per field.
//
// Thread-safety: free functions are pure; ByteReader is one thread's.
#ifndef TINYOBS_LIB_BASE_CODING_H_
#define TINYOBS_LIB_BASE_CODING_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tinyobs {

static_assert(std::endian::native == std::endian::little, "the formats are read in place");

inline constexpr int kMaxVarint64Bytes = 10;

template <typename T>
inline T LoadLittleEndian(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

inline uint32_t LoadFixed32(const void* from) { return LoadLittleEndian<uint32_t>(from); }
inline uint64_t LoadFixed64(const void* from) { return LoadLittleEndian<uint64_t>(from); }
inline void StoreFixed32(void* to, uint32_t value) { std::memcpy(to, &value, sizeof(value)); }
inline void StoreFixed64(void* to, uint64_t value) { std::memcpy(to, &value, sizeof(value)); }

inline uint32_t LoadBigEndian32(const void* from) { return __builtin_bswap32(LoadFixed32(from)); }
inline uint64_t LoadBigEndian64(const void* from) { return __builtin_bswap64(LoadFixed64(from)); }

inline void PutFixed32(std::string* out, uint32_t value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}
inline void PutFixed64(std::string* out, uint64_t value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}
inline void PutBigEndian32(std::string* out, uint32_t value) {
  PutFixed32(out, __builtin_bswap32(value));
}
inline void PutBigEndian64(std::string* out, uint64_t value) {
  PutFixed64(out, __builtin_bswap64(value));
}

// Maps signed to unsigned so that small magnitudes stay small: 0, -1, 1, -2 -> 0, 1, 2, 3.
inline uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

// Writes at most kMaxVarint64Bytes to `to`; returns the byte after the last one written.
inline char* StoreVarint64(char* to, uint64_t value) {
  while (value >= 0x80) {
    *to++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<char>(value);
  return to;
}

inline void PutVarint64(std::string* out, uint64_t value) {
  char buffer[kMaxVarint64Bytes];
  out->append(buffer, StoreVarint64(buffer, value) - buffer);
}
inline void PutZigZag64(std::string* out, int64_t value) { PutVarint64(out, ZigZag(value)); }

// A varint byte length, then the bytes.
inline void PutLengthPrefixed(std::string* out, std::string_view bytes) {
  PutVarint64(out, bytes.size());
  out->append(bytes);
}

inline int VarintLength(uint64_t value) { return (std::bit_width(value | 1) + 6) / 7; }

// Reads a varint from [from, limit). Returns the byte after it, or nullptr when it runs past
// `limit`, is longer than 10 bytes or does not fit 64 bits.
inline const char* LoadVarint64(const char* from, const char* limit, uint64_t* value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 64 && from < limit; shift += 7) {
    const auto byte = static_cast<unsigned char>(*from++);
    if (shift == 63 && byte > 1) return nullptr;
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return from;
    }
  }
  return nullptr;
}

// Reads fields off the front of a byte range that nobody vouches for. After the first violation
// every read returns zero or an empty view and ok() stays false. Views point into the range given
// at construction.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes)
      : next_(bytes.data()), limit_(bytes.data() + bytes.size()) {}

  bool ok() const { return !failed_; }
  bool empty() const { return next_ == limit_; }
  size_t remaining() const { return static_cast<size_t>(limit_ - next_); }
  std::string_view rest() const { return {next_, remaining()}; }

  uint8_t Byte() { return Take(1) ? static_cast<uint8_t>(next_[-1]) : 0; }
  uint32_t Fixed32() { return Take(4) ? LoadFixed32(next_ - 4) : 0; }
  uint64_t Fixed64() { return Take(8) ? LoadFixed64(next_ - 8) : 0; }
  uint32_t BigEndian32() { return Take(4) ? LoadBigEndian32(next_ - 4) : 0; }
  uint64_t BigEndian64() { return Take(8) ? LoadBigEndian64(next_ - 8) : 0; }

  uint64_t Varint64() {
    uint64_t value = 0;
    const char* after = LoadVarint64(next_, limit_, &value);
    if (after == nullptr) {
      Fail();
      return 0;
    }
    next_ = after;
    return value;
  }
  int64_t ZigZag64() { return UnZigZag(Varint64()); }

  // A varint that must not be larger than `most`.
  uint64_t BoundedVarint64(uint64_t most) {
    const uint64_t value = Varint64();
    if (value <= most) return value;
    Fail();
    return 0;
  }

  std::string_view Bytes(uint64_t count) {
    return Take(count) ? std::string_view(next_ - count, count) : std::string_view();
  }
  std::string_view LengthPrefixed() { return Bytes(Varint64()); }

  void Fail() {
    failed_ = true;
    next_ = limit_;
  }

 private:
  bool Take(uint64_t count) {
    if (failed_ || count > remaining()) {
      Fail();
      return false;
    }
    next_ += count;
    return true;
  }

  const char* next_;
  const char* limit_;
  bool failed_ = false;
};

// Behind all keys that begin with `prefix`; empty = nothing is.
inline std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix.substr(0, prefix.find_last_not_of('\xff') + 1));
  if (!end.empty()) end.back() = static_cast<char>(end.back() + 1);
  return end;
}

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_CODING_H_
