// SPDX-License-Identifier: MIT
#include <limits>

#include "kernels/cuda/attention/kernels.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"
#include "kernels/cuda/runtime/switches.h"

// Which kernels compute attention. The choice never shows in the result: all consist of
// attention/tile.cuh's functions.

namespace vitrine::internal {
namespace {

using namespace cuda;

/// Tiles of keys that any sequence with few (or any number of) new tokens has. While work is
/// recorded, all that it may come to have: sequences grow between one replay and the next.
int64_t most_tiles(const AttentionArgs& args, bool recording,
                   int64_t few = std::numeric_limits<int64_t>::max()) {
  int64_t most = 0;
  for (const SequenceSlice& slice : args.batch->sequences) {
    if (slice.rows <= few)
      most =
          std::max(most, ceil_div(recording ? slice.capacity : slice.past + slice.rows, kKeyTile));
  }
  return most;
}

bool has_shared_tiles(const Device& device, const AttentionArgs& args) {
  return args.head_width <= kWidestHead && many_shared_bytes(args) <= device.shared_per_block();
}

}  // namespace

bool CudaBackend::fuses(const AttentionArgs& args) const {
  return switches().fused && has_shared_tiles(*device_, args) && head_count(args) <= kCounters &&
         longest_rows(args) <= kFewQueries;
}

void CudaBackend::attend(Mat k, Mat v, const AttentionArgs& args) {
  const bool fast = has_shared_tiles(*device_, args);
  const int few = head_count(args) <= kCounters ? kFewQueries : 0;
  if (k && !fuses(args)) {
    append_kv(k, v, args.heads, args.head_width, *args.batch, args.cache);
    k = v = {};
  }
  int64_t few_tiles = most_tiles(args, device_->recording(), few);
  if (args.window > 0)
    few_tiles = std::min(few_tiles, ceil_div(args.window + kFewQueries, kKeyTile) + 1);
  const size_t partial_bytes = fast ? few_partial_bytes(args, few, few_tiles) : 0;
  const int64_t rows = batch_rows(*args.batch);
  const bool own_lse = args.pattern != nullptr && !args.lse;
  std::byte* memory = scratch(
      partial_bytes + (own_lse ? static_cast<size_t>(rows * args.heads) * sizeof(float) : 0));
  AttentionArgs work = args;
  if (own_lse) work.lse = Mat(reinterpret_cast<float*>(memory + partial_bytes), rows, args.heads);

  if (fast) {
    if (!attend_many_on_hopper(*device_, work, few)) attend_many(*device_, work, few);
    attend_few(*device_, work, {k, v}, few, few_tiles, memory,
               reinterpret_cast<uint32_t*>(counters_.data()));
  } else {
    attend_wide(*device_, work);
  }
  if (args.scores != nullptr || args.pattern != nullptr)
    write_maps(*device_, work, most_tiles(args, device_->recording()));
}

void CudaBackend::attention_scores(const AttentionArgs& args) {
  AttentionArgs scores = args;
  scores.pattern = nullptr;
  write_maps(*device_, scores, most_tiles(args, device_->recording()));
}

}  // namespace vitrine::internal
