#include "tests/chunk/sample_generators.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>
#include <sstream>

namespace tinyobs::chunk {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;
constexpr int64_t kInterval = 15'000;

// Calls value(i) for each sample of a scrape every 15 s.
template <typename Value>
Columns Regular(size_t n, Value value) {
  Columns columns;
  for (size_t i = 0; i < n; ++i) {
    columns.Add(kStart + static_cast<int64_t>(i) * kInterval, value(i));
  }
  return columns;
}

double Decimal(int64_t integer, double power) { return static_cast<double>(integer) / power; }

Columns IntCounter(Random* random, size_t n) {
  const double per_scrape = 15 * std::pow(10.0, 4 * random->Unit());
  auto total = static_cast<int64_t>(random->Below(1'000'000'000));
  return Regular(n, [&](size_t) {
    total +=
        std::max<int64_t>(0, std::llround(per_scrape + std::sqrt(per_scrape) * random->Normal()));
    return static_cast<double>(total);
  });
}

Columns JitteredTimes(Random* random, size_t n) {
  Columns columns = IntCounter(random, n);
  for (int64_t& time : columns.timestamps_ms) time += random->Between(-3, 3);
  return columns;
}

Columns CpuSeconds(Random* random, size_t n) {
  auto hundredths = static_cast<int64_t>(random->Below(100'000'000));
  const double busy = 1500 * random->Unit();
  return Regular(n, [&](size_t) {
    hundredths += std::clamp<int64_t>(std::llround(busy + 40 * random->Normal()), 0, 1500);
    return Decimal(hundredths, 100);
  });
}

Columns OneDecimalWalk(Random* random, size_t n) {
  int64_t tenths = random->Between(-1000, 1000);
  return Regular(n, [&](size_t) { return Decimal(tenths += random->Between(-5, 5), 10); });
}

Columns ThreeDecimalsWalk(Random* random, size_t n) {
  int64_t thousandths = random->Between(0, 100'000);
  return Regular(n, [&](size_t) { return Decimal(thousandths += random->Between(-99, 99), 1000); });
}

Columns PagesOfBytes(Random* random, size_t n) {
  int64_t pages = random->Between(1'000'000, 4'000'000);
  return Regular(n, [&](size_t) {
    return static_cast<double>((pages += std::llround(300 * random->Normal())) * 4096);
  });
}

Columns RarelyChanging(Random* random, size_t n) {
  double value = static_cast<double>(random->Below(100));
  return Regular(n, [&](size_t) {
    if (random->Below(50) == 0) value = static_cast<double>(random->Below(100));
    return value;
  });
}

Columns Constant(Random* random, size_t n) {
  const double value = Decimal(random->Between(0, 100'000), 100);
  return Regular(n, [&](size_t) { return value; });
}

Columns ResetsAndStale(Random* random, size_t n) {
  int64_t total = random->Between(0, 1'000'000);
  return Regular(n, [&](size_t) {
    if (random->Below(100) == 0) total = 0;
    total += random->Between(100, 200);
    return random->Below(60) == 0 ? StaleNan() : static_cast<double>(total);
  });
}

Columns FullPrecision(Random* random, size_t n) {
  double value = 100 * random->Unit();
  return Regular(n, [&](size_t) { return value += 0.1 * random->Normal(); });
}

// ------------------------------------------------------------------------------ the odd ones

Columns RandomBits(Random* random, size_t n) {
  return Regular(n, [&](size_t) { return std::bit_cast<double>(random->Bits()); });
}

double Special(Random* random) {
  static constexpr uint64_t kBits[] = {
      0x0000000000000000, 0x8000000000000000,  // 0, -0
      0x7ff0000000000000, 0xfff0000000000000,  // infinities
      0x7ff8000000000000, 0xfff8000000000000,  // quiet NaN
      kStaleNanBits,      0xfff0000000000001,  // signalling
      0x7fffffffffffffff, 0xffffffffffffffff,  // NaN with every bit
      0x0000000000000001, 0x800fffffffffffff,  // denormals
      0x0010000000000000, 0x7fefffffffffffff,  // least and greatest normal
      0x4320000000000000, 0x431fffffffffffff,  // 2^51, the one below
      0xc320000000000000, 0x4340000000000000,  // -2^51, 2^53
  };
  return std::bit_cast<double>(kBits[random->Below(std::size(kBits))]);
}

Columns Specials(Random* random, size_t n) {
  return Regular(n, [&](size_t) { return Special(random); });
}

Columns DecimalsWithSpecials(Random* random, size_t n) {
  const uint64_t rarity = 2 + random->Below(20);
  return Regular(n, [&](size_t i) {
    return random->Below(rarity) == 0 ? Special(random) : Decimal(static_cast<int64_t>(i) * 7, 100);
  });
}

Columns AllStale(Random*, size_t n) {
  return Regular(n, [](size_t) { return StaleNan(); });
}

// Every decimal exponent in turn, up to the limit of the scaling.
Columns MixedExponents(Random* random, size_t n) {
  return Regular(n, [&](size_t) {
    const auto digits = static_cast<double>(random->Between(0, 15));
    return Decimal(random->Between(-(int64_t{1} << 52), int64_t{1} << 52), std::pow(10.0, digits));
  });
}

Columns LargeIntegers(Random* random, size_t n) {
  const int shift = static_cast<int>(random->Below(64));
  return Regular(n, [&](size_t) {
    return static_cast<double>(static_cast<int64_t>(random->Bits()) >> shift);
  });
}

Columns MultiplesOf(Random* random, size_t n) {
  const int64_t factor = random->Between(2, 1 << 20);
  return Regular(n, [&](size_t) {
    return static_cast<double>(12'345 + factor * random->Between(-1'000'000, 1'000'000));
  });
}

Columns Parabola(Random* random, size_t n) {
  const int64_t slope = random->Between(-1000, 1000);
  return Regular(n, [&](size_t i) {
    const auto x = static_cast<int64_t>(i);
    return static_cast<double>(3 * x * x + slope * x);
  });
}

Columns IrregularTimes(Random* random, size_t n) {
  Columns columns;
  int64_t time = kStart;
  for (size_t i = 0; i < n; ++i) {
    columns.Add(time, static_cast<double>(random->Below(10)));
    time += random->Below(20) == 0 ? random->Between(1, 10'000'000) : random->Between(1, 2'000);
  }
  return columns;
}

Columns GapsInRegularTimes(Random* random, size_t n) {
  Columns columns;
  int64_t time = -kStart;
  for (size_t i = 0; i < n; ++i) {
    columns.Add(time, 1);
    time += kInterval * (random->Below(30) == 0 ? random->Between(2, 100) : 1);
  }
  return columns;
}

// Anywhere in int64, its ends included: differences wrap.
Columns ExtremeTimes(Random* random, size_t n) {
  std::set<int64_t> times;
  if (n >= 2) times = {INT64_MIN, INT64_MAX};
  while (times.size() < n) times.insert(static_cast<int64_t>(random->Bits()));
  Columns columns;
  for (const int64_t time : times) columns.Add(time, 0.5);
  return columns;
}

// The longest regular step that still fits.
Columns WidestRegularTimes(Random* random, size_t n) {
  Columns columns;
  const uint64_t step = n == 1 ? 0 : UINT64_MAX / (n - 1);
  for (size_t i = 0; i < n; ++i) {
    const uint64_t offset = static_cast<uint64_t>(INT64_MIN) + i * step;
    columns.Add(static_cast<int64_t>(offset), static_cast<double>(random->Below(3)));
  }
  return columns;
}

Columns ConsecutiveMillisecondsUpToTheEnd(Random* random, size_t n) {
  Columns columns;
  for (size_t i = 0; i < n; ++i) {
    columns.Add(INT64_MAX - static_cast<int64_t>(n - 1 - i), random->Unit());
  }
  return columns;
}

}  // namespace

const std::vector<SampleKind>& SampleKinds() {
  static const auto* const kKinds = new std::vector<SampleKind>{
      {"int_counter", IntCounter, 1.6},
      {"jittered_times", JitteredTimes, 2.1},
      {"cpu_seconds", CpuSeconds, 1.5},
      {"one_decimal_walk", OneDecimalWalk, 0.8},
      {"three_decimals_walk", ThreeDecimalsWalk, 1.25},
      {"pages_of_bytes", PagesOfBytes, 1.8},
      {"rarely_changing", RarelyChanging, 0.3},
      {"constant", Constant, 0.15},
      {"resets_and_stale", ResetsAndStale, 1.5},
      {"full_precision", FullPrecision, 6.6},
      {"random_bits", RandomBits, 8.3},
      {"specials", Specials, 8.3},
      {"decimals_with_specials", DecimalsWithSpecials},
      {"all_stale", AllStale, 0.2},
      {"mixed_exponents", MixedExponents, 8.3},
      {"large_integers", LargeIntegers, 8.3},
      {"multiples_of", MultiplesOf, 3.2},
      {"parabola", Parabola, 0.2},
      {"irregular_times", IrregularTimes, 2.8},
      {"gaps_in_regular_times", GapsInRegularTimes, 0.5},
      {"extreme_times", ExtremeTimes, 8.5},
      {"widest_regular_times", WidestRegularTimes, 0.6},
      {"consecutive_ms_to_the_end", ConsecutiveMillisecondsUpToTheEnd, 8.3},
  };
  return *kKinds;
}

std::string ToText(const Columns& columns) {
  std::string text;
  char line[64];
  for (size_t i = 0; i < columns.size(); ++i) {
    std::snprintf(line, sizeof(line), "%lld %016llx\n",
                  static_cast<long long>(columns.timestamps_ms[i]),
                  static_cast<unsigned long long>(std::bit_cast<uint64_t>(columns.values[i])));
    text += line;
  }
  return text;
}

Columns FromText(const std::string& text) {
  Columns columns;
  std::istringstream lines(text);
  int64_t time;
  std::string bits;
  while (lines >> time >> bits) {
    columns.Add(time, std::bit_cast<double>(uint64_t{std::stoull(bits, nullptr, 16)}));
  }
  return columns;
}

bool SameSamples(const Columns& a, const Columns& b) {
  const auto same_bits = [](double x, double y) {
    return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y);
  };
  return a.timestamps_ms == b.timestamps_ms &&
         std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end(), same_bits);
}

}  // namespace tinyobs::chunk
