// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/kernels.cuh"

// Attention of heads that are too wide for the other kernels. Each warp takes 16 queries and 128 of
// their channels, and computes the scores over all channels again. Everything is read where it
// lies, in the same order of sums as in the other kernels.

namespace vitrine::internal::cuda {
namespace {

template <class T, class Rows>
VITRINE_DEVICE void attend_part(const AttentionArgs& args, const BatchView& batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const HeadView<T> head(args, batch.sequences[blockIdx.x / args.heads],
                         static_cast<int>(blockIdx.x) % args.heads);
  const int first = static_cast<int>(blockIdx.y) * 16,
            first_channel = static_cast<int>(blockIdx.z) * kWidestHead;
  if (first >= head.rows) return;
  const Rows rows = head.template queries<Rows>(first);
  Sums<2, kWidestHead / 8> sums;
  for (int begin = rows.first_tile(); begin < rows.longest(); begin += kKeyTile) {
    Scores<2> scores = {};
    head.add_all_scores(scores[0], first, begin);
    add_tile(sums, weigh<T, 2>(scores, args.scale, rows, begin), rows, begin,
             [&](int block, int span) {
               const int channel = first_channel + 8 * block + lane_row();
               return channel < head.width()
                          ? load_chunk(head.value(channel) + begin + lane_key<T>(span))
                          : Chunk{};
             });
  }
  store_z(sums, rows.count, head.z(first) + first_channel, args.z.stride,
          head.width() - first_channel);
  if (first_channel == 0) store_lse(sums, rows.count, head.lse(first), args.lse.stride);
}

template <class T>
__global__ void __launch_bounds__(kWarp) attend(AttentionArgs args, BatchView batch) {
  attend_part<T, QueryRows>(args, batch);
}
template <class T>
__global__ void __launch_bounds__(kWarp) attend_windows(AttentionArgs args, BatchView batch) {
  attend_part<T, WindowRows>(args, batch);
}

}  // namespace

void attend_wide(Device& device, const AttentionArgs& args) {
  const int64_t longest = longest_rows(args);
  with_element(args.q.dtype, [&](auto element) {
    const LaunchShape shape{.grid = dim3(head_count(args), ceil_div(longest, 16),
                                         ceil_div(args.head_width, kWidestHead)),
                            .block = kWarp,
                            .may_start_early = true};
    using T = decltype(element);
    launch(device, shape, args.window > 0 ? attend_windows<T> : attend<T>, args, view(*args.batch));
  });
}

}  // namespace vitrine::internal::cuda
