// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend/backward.h"
#include "kernels/backend/batch.h"
#include "kernels/backend/forward.h"
#include "kernels/backend/logits.h"
#include "kernels/backend/mat.h"
#include "kernels/backend/memory.h"
#include "kernels/backend/recording.h"
#include "kernels/backend/selection.h"
#include "kernels/backend/statistics.h"
#include "kernels/backend/weights.h"

// The contract between the passes (engine/forward.cc, engine/backward.cc) and a machine that
// computes them.
//
// Everything here is a raw view: pointers into buffers that the backend allocated, sizes, strides.
// Sizes were checked by the caller before a pass starts; a backend checks only what it alone can
// know (memory, its own limits).
//
// Two rules bind every implementation, because the promise "watching changes nothing" rests on
// them:
//   1. An output element's value depends on the inputs that its formula names and on nothing else:
//      not on the number of rows computed together, not on the number of threads, not on which
//      optional destinations are requested. So each sum runs over its reduction axis in one order,
//      fixed by the operation and the weight's shape.
//   2. A fused form and the composed form of the same formula give the same bits (bias, activation
//      and residual are rounded to float32 at the same places). One exception: z of a device's
//      composed attention, and its gradients, agree with the fused ones to rounding, because the
//      fused one mixes values before it knows the sums; scores and pattern have the same bits.

namespace vitrine::internal {

/// A machine that computes passes.
class Backend : public Memory,
                public WeightPacker,
                public ForwardOps,
                public BackwardOps,
                public LogitOps,
                public SelectionOps,
                public Recorder,
                public Statistics {
 public:
  virtual ~Backend() = default;

  /// For people: "cpu (AVX2, 2 threads)".
  virtual std::string description() const = 0;
  /// For people: which kernels the backend has chosen so far where it had a choice, one line for
  /// each case that came up: "linear 1024 x 2304 x 768 bf16: hopper 128x192" (rows x out x in). Not
  /// while a pass runs.
  virtual std::vector<std::string> choices() const { return {}; }

  /// Names what is issued until end_range() in the device's own profiler, where it has one, with
  /// the bytes that it has to move and the operations of its products. Ranges nest.
  virtual void begin_range(const char* /*name*/, double /*bytes*/, double /*flops*/) {}
  virtual void end_range() {}
};

struct CpuOptions {
  int threads = 0;  ///< 0: default_threads()
};

/// Throws Error (user) for a negative thread count.
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options = {});

/// How a GPU multiplies.
enum class Gemm : uint8_t {
  kExact,  ///< any number of rows in the same order of sums: a row's bits do not depend on how many
           ///< others there are
  kCublas,  ///< NVIDIA's cuBLASLt where it can, for comparison; it chooses an order of sums for
            ///< each shape
};
/// "exact" or "cublas"; throws Error (user) naming these two for another word.
Gemm gemm_from_name(std::string_view name);

struct CudaOptions {
  int device = 0;  ///< which GPU, as CUDA numbers them
  Gemm gemm = Gemm::kExact;
};

/// Throws Error (user) saying what is missing: a build with CUDA, a driver that is new enough, that
/// GPU, or one of compute capability 8.0 or later; or, for Gemm::kCublas, that library.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {});

}  // namespace vitrine::internal
