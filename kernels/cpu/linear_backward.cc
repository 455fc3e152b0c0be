// SPDX-License-Identifier: MIT
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/linear_backward_kernels.h"
#include "kernels/cpu/linear_tasks.h"

namespace vitrine::internal {
namespace {

LinearBackwardArgs rows_of(const LinearBackwardArgs& args, int64_t begin, int64_t count) {
  LinearBackwardArgs part = args;
  part.dy = args.dy.row_range(begin, count);
  part.dx = args.dx.row_range(begin, count);
  if (args.before) part.before = args.before.row_range(begin, count);
  if (args.residual) part.residual = args.residual.row_range(begin, count);
  if (args.product) part.product = args.product.row_range(begin, count);
  return part;
}

}  // namespace

void CpuBackend::linear_backward(const LinearBackwardArgs& args) {
  cpu::for_each_part(args.dy.rows, [&](int64_t begin, int64_t count) {
    const LinearBackwardArgs part = rows_of(args, begin, count);
    const cpu::LinearBlocking blocking = cpu::linear_backward_blocking(count, args.weight->out);
    cpu::for_each_block(part.dy, args.weight->in, blocking, threads_, scratch_,
                        [&](const float* packed, const cpu::LinearBlock& block, float* scratch) {
                          cpu::linear_backward_block(part, blocking, packed, block, scratch);
                        });
  });
}

}  // namespace vitrine::internal
