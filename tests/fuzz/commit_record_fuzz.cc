// Records of the head log and of its checkpoints from hostile bytes. What is accepted must survive
// being written anew, and nothing may crash, hang or allocate beyond the input. The record is read
// twice in one segment, so that its deltas also meet states that they did not expect.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "lib/tsdb/commit_record.h"
#include "lib/tsdb/head_checkpoint.h"

namespace tinyobs::tsdb {
namespace {

void Check(bool condition) {
  if (!condition) std::abort();
}

// As the head does: absolute at first, deltas then, late samples apart.
std::string Encode(const DecodedCommit& commit) {
  std::string record;
  BeginCommit(commit.new_series, commit.metadata, &record);
  SampleSectionWriter writer(&record);
  writer.Begin(commit.samples.size());
  std::map<SeriesRef, DeltaState> states;
  for (size_t i = 0; i < commit.samples.size(); ++i) {
    const SeriesRef ref = commit.samples.refs[i];
    const int64_t t = commit.samples.timestamps_ms[i];
    const double v = commit.samples.values[i];
    const auto [found, is_new] = states.try_emplace(ref);
    DeltaState& state = found->second;
    if (is_new) StartDelta(&state, t, v, kNoExponent);
    if (is_new || t <= state.last_ms) {
      writer.Absolute(ref, t, v, state, /*late=*/!is_new);
      continue;
    }
    char code[kMaxDeltaBytes];
    const size_t bytes = EncodeDelta(&state, t, v, code);
    writer.Delta(ref, code, bytes);
  }
  writer.Finish();
  return record;
}

void CheckCommit(std::string_view bytes) {
  CommitDecoder decoder;
  DecodedCommit commit;
  if (!decoder.Decode(bytes, &commit).ok()) return;
  CommitDecoder second;
  DecodedCommit again;
  Check(second.Decode(Encode(commit), &again).ok());
  Check(again.samples.refs == commit.samples.refs);
  Check(again.samples.timestamps_ms == commit.samples.timestamps_ms);
  for (size_t i = 0; i < commit.samples.size(); ++i) {
    Check(std::bit_cast<uint64_t>(again.samples.values[i]) ==
          std::bit_cast<uint64_t>(commit.samples.values[i]));
  }
  Check(again.new_series.size() == commit.new_series.size());
  Check(again.metadata.size() == commit.metadata.size());
  decoder.Decode(bytes, &commit).IgnoreError();
}

void CheckCheckpoint(std::string_view bytes) {
  const CheckpointCallbacks callbacks{
      [](const CheckpointSlice& slice) {
        Check(slice.begin < slice.end && slice.end - 1 <= kMaxSeriesRef);
        return absl::OkStatus();
      },
      [](const CheckpointStretch& stretch) {
        Check(stretch.ref <= kMaxSeriesRef && stretch.count > 0);
        return absl::OkStatus();
      }};
  CheckpointDecoder decoder(callbacks);
  decoder.Decode(bytes).IgnoreError();
  CheckpointDecoder in_slice(callbacks);
  Check(in_slice.Decode(std::string("\x01\x00\x80\x08\x01", 5)).ok());  // [0, 1024)
  in_slice.Decode(bytes).IgnoreError();
}

}  // namespace
}  // namespace tinyobs::tsdb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  tinyobs::tsdb::CheckCommit(bytes);
  tinyobs::tsdb::CheckCheckpoint(bytes);
  return 0;
}
