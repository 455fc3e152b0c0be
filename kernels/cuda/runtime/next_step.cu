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

/// One block. Sequences with a full cache do not advance; their later samples are ignored.
__global__ void advance(SequenceSlice* sequences, int32_t* ids, int32_t* positions,
                        const int32_t* sequence_of_row, int rows, StepNumbers n) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int32_t now = *n.step;
  __syncthreads();  // everybody has read it
  for (int row = static_cast<int>(threadIdx.x); row < rows; row += static_cast<int>(blockDim.x)) {
    SequenceSlice& sequence = sequences[sequence_of_row[row]];
    const int32_t drawn = n.drawn[row];
    n.tokens[static_cast<int64_t>(now) * rows + row] = drawn;
    ids[row] = drawn < 0 ? 0 : drawn;  // the host stops at -1; until then any token can be read
    n.uniform[row] = n.uniforms[static_cast<int64_t>(now + 1) * rows + row];
    if (sequence.past + 1 >= sequence.capacity) continue;
    sequence.past += 1;
    positions[row] += 1;
  }
  if (threadIdx.x == 0) *n.step = now + 1;
}

}  // namespace

void CudaBackend::next_step(const NextStepArgs& args) {
  const BatchView batch = view(*args.batch);
  sample_on_device(args.logits, args.temperature, args.top_k, args.top_p, args.uniform, args.drawn);
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
