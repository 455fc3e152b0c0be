// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/runtime/launch.h"

// The emulated device's clusters, and the mistakes that it is to detect: two blocks that each copy
// half of every tile to both.

namespace vitrine::internal::cuda {
namespace {

using cuda_on_host::LaneOrder;

enum class Mistake { kNone, kNoWait, kWrongMask, kNoLastBarrier };

constexpr int kBlocks = 2, kRows = 16, kHalf = kRows / kBlocks, kSteps = 4;
constexpr int kSlotBytes = kRows * kTileRowBytes;

/// out[block][step][row]: the first element of each row that the block saw in its one slot.
void share_tiles(const TensorMap* map, Mistake mistake, uint16_t* out) {
  std::byte* slot = shared_memory();
  auto* full = reinterpret_cast<Barrier*>(slot + kSlotBytes);
  Barrier* empty = full + 1;
  const int lane = lane_id(), rank = cluster_rank();
  if (lane == 0) {
    barrier_init(full, 1);
    barrier_init(empty, kBlocks);
    barriers_are_made();
  }
  cluster_barrier();
  const auto blocks = static_cast<uint16_t>(mistake == Mistake::kWrongMask ? 1 << rank : 3);
  for (int step = 0; step < kSteps; ++step) {
    const uint32_t parity = step % 2;
    if (lane == 0) {
      if (mistake != Mistake::kNoWait) barrier_wait(empty, parity ^ 1u);
      barrier_expect(full, kSlotBytes);
      copy_tile_to(blocks, slot + rank * kHalf * kTileRowBytes, map, step * kRows + rank * kHalf, 0,
                   full);
    }
    barrier_wait(full, parity);
    if (lane < kRows)
      out[(rank * kSteps + step) * kRows + lane] =
          reinterpret_cast<const uint16_t*>(slot)[lane * kTileDepth];
    __syncwarp();
    if (lane < kBlocks) barrier_arrive_at(lane, empty);
  }
  if (mistake != Mistake::kNoLastBarrier) cluster_barrier();
}

/// What both blocks saw of a matrix whose rows are filled with their numbers.
std::vector<uint16_t> seen(LaneOrder order, Mistake mistake) {
  std::vector<uint16_t> matrix(kSteps * kRows * kTileDepth), out(kBlocks * kSteps * kRows);
  for (size_t i = 0; i < matrix.size(); ++i) matrix[i] = static_cast<uint16_t>(i / kTileDepth);
  const auto device = cuda_on_host::make_device(order, {.capability = 90});
  const TensorMap map = tensor_map(matrix.data(), kSteps * kRows, kTileDepth, kTileRowBytes, kHalf);
  launch(*device, {dim3(kBlocks), dim3(kWarp), kSlotBytes + 2 * sizeof(Barrier), false, kBlocks},
         share_tiles, &map, mistake, out.data());
  return out;
}

std::vector<uint16_t> all_rows_twice() {
  std::vector<uint16_t> want(kBlocks * kSteps * kRows);
  std::iota(want.begin(), want.begin() + kSteps * kRows, uint16_t{0});
  std::iota(want.begin() + kSteps * kRows, want.end(), uint16_t{0});
  return want;
}

TEST(Clusters, BlocksShareTiles) {
  EXPECT_EQ(seen(LaneOrder::kAscending, Mistake::kNone), all_rows_twice());
  EXPECT_EQ(seen(LaneOrder::kDescending, Mistake::kNone), all_rows_twice());
}

TEST(Clusters, ASlotThatTheOtherBlockStillReadsIsSeenOverwritten) {
  EXPECT_NE(seen(LaneOrder::kAscending, Mistake::kNoWait), all_rows_twice());
}

TEST(ClustersDeathTest, StopsAtTilesThatNeverComeAndAtBlocksThatEndedTooEarly) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(seen(LaneOrder::kAscending, Mistake::kWrongMask), "a phase of a barrier that never");
  EXPECT_DEATH(seen(LaneOrder::kAscending, Mistake::kNoLastBarrier), "or that has ended");
}

}  // namespace
}  // namespace vitrine::internal::cuda
