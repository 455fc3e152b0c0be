// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/linear_kernels.h"
#include "kernels/cpu/linear_tasks.h"
#include "kernels/cpu/parallel.h"

// y = act(x W + b) + residual: how the work is cut and shared out. The sums of an output never are:
// its panel's thread walks all inputs in order.

namespace vitrine::internal {
namespace {

using cpu::LinearBlock;
using cpu::LinearBlocking;

constexpr int64_t kPanel = PackedMatrix::kPanel;
constexpr int64_t kGrain = 1 << 17;  // multiplications that are worth waking a thread

void few_rows(const LinearArgs& args, int threads) {
  const int64_t panels = ceil_div(args.weight->out, kPanel);
  const int64_t grain = std::max<int64_t>(4, kGrain / (args.weight->in * kPanel * args.x.rows + 1));
  cpu::parallel_chunks(threads, panels, grain,
                       [&](int64_t begin, int64_t end) { cpu::linear_few_rows(args, begin, end); });
}

void many_rows(const LinearArgs& args, int threads, cpu::ScratchPool& scratch) {
  const LinearBlocking blocking = cpu::linear_blocking(args.x.rows, args.weight->in);
  cpu::for_each_block(args.x, args.weight->out, blocking, threads, scratch,
                      [&](const float* packed, const LinearBlock& block, float* rest) {
                        cpu::linear_block(args, blocking, packed, block, rest);
                      });
}

LinearArgs rows_of(const LinearArgs& args, int64_t begin, int64_t count) {
  LinearArgs part = args;
  part.x = args.x.row_range(begin, count);
  part.out = args.out.row_range(begin, count);
  if (args.residual) part.residual = args.residual.row_range(begin, count);
  if (args.before) part.before = args.before.row_range(begin, count);
  return part;
}

}  // namespace

void CpuBackend::linear(const LinearArgs& args) {
  if (args.x.rows <= cpu::kFewRows) return few_rows(args, threads_);
  cpu::for_each_part(args.x.rows, [&](int64_t begin, int64_t count) {
    many_rows(rows_of(args, begin, count), threads_, scratch_);
  });
}

}  // namespace vitrine::internal
