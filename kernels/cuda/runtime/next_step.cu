// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/runtime/batch.h"
#include "kernels/cuda/runtime/cuda_backend.h"
#include "kernels/cuda/runtime/launch.h"

// The end of a recorded step: the drawn tokens become the next step's input, and what the step has
// captured is kept.

namespace vitrine::internal {
namespace {

using namespace cuda;

constexpr int kThreads = 256;

/// Appends the step's captures to those of the previous steps.
__global__ void copy_step(const Chunk* from, Chunk* history, int64_t count, const int32_t* step) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  Chunk* to = history + static_cast<int64_t>(*step) * count;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    to[i] = from[i];
  }
}

struct StepNumbers {
  int32_t* step;
  const double* uniforms;
  double* uniform;
  const int32_t* drawn;
  int32_t* tokens;
};

/// Where a row is before it moves on, and the number that its next token is drawn with.
struct RowNow {
  SequenceSlice* sequence;
  int64_t past, capacity;
  int32_t position;
  double uniform;
};

/// One block. Sequences with a full cache do not advance; their later samples are ignored. Only the
/// drawn tokens are an earlier kernel's of this step: all else is read before the wait.
__global__ void advance(SequenceSlice* sequences, int32_t* ids, int32_t* positions,
                        const int32_t* sequence_of_row, int rows, StepNumbers n) {
  let_next_kernel_start();
  const int32_t now = *n.step;
  const auto row_now = [&](int row) {
    SequenceSlice* sequence = sequences + sequence_of_row[row];
    return RowNow{sequence, sequence->past, sequence->capacity, positions[row],
                  n.uniforms[static_cast<int64_t>(now + 1) * rows + row]};
  };
  const auto move_on = [&](int row, const RowNow& at) {
    const int32_t drawn = n.drawn[row];
    n.tokens[static_cast<int64_t>(now) * rows + row] = drawn;
    ids[row] = drawn < 0 ? 0 : drawn;  // the host stops at -1; until then any token can be read
    n.uniform[row] = at.uniform;
    if (at.past + 1 >= at.capacity) return;
    at.sequence->past = at.past + 1;
    positions[row] = at.position + 1;
  };
  int row = static_cast<int>(threadIdx.x);
  const RowNow first = row < rows ? row_now(row) : RowNow{};
  wait_for_previous_kernel();
  __syncthreads();  // all threads have read the step
  if (row < rows) move_on(row, first);
#pragma unroll 1
  for (row += static_cast<int>(blockDim.x); row < rows; row += static_cast<int>(blockDim.x))
    move_on(row, row_now(row));
  if (threadIdx.x == 0) *n.step = now + 1;
}

}  // namespace

void CudaBackend::next_step(const NextStepArgs& args) {
  const BatchView batch = view(*args.batch);
  sample_on_device(args.logits, args.temperature, args.top_k, args.top_p, args.uniform, args.drawn,
                   scratch(sample_bytes(args.logits)));
  if (args.captured_bytes > 0) {
    const auto chunks = static_cast<int64_t>(args.captured_bytes / sizeof(Chunk));
    launch(*device_,
           {.grid = dim3(std::min<int64_t>(ceil_div(chunks, kThreads), 4 * device_->processors())),
            .block = dim3(kThreads),
            .may_start_early = true},
           copy_step, reinterpret_cast<const Chunk*>(args.captured),
           reinterpret_cast<Chunk*>(args.history), chunks, args.step);
  }
  launch(*device_, {.grid = dim3(1), .block = dim3(kThreads), .may_start_early = true}, advance,
         const_cast<SequenceSlice*>(batch.sequences), const_cast<int32_t*>(batch.ids),
         const_cast<int32_t*>(batch.positions), batch.sequence_of_row, batch.rows,
         StepNumbers{args.step, args.uniforms, args.uniform, args.drawn, args.tokens});
}

}  // namespace vitrine::internal
