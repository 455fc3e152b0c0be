// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/backend/batch.h"
#include "kernels/backend/mat.h"

namespace vitrine::internal {

/// What ends a step of a generation that a backend runs on its own, again and again: all memory is
/// the backend's.
struct NextStepArgs {
  Mat logits{};              ///< [sequences with a row, V]
  float temperature = 0.0f;  ///< as SampleArgs
  int top_k = 0;
  float top_p = 1.0f;
  const PassBatch* batch = nullptr;  ///< at most one row a sequence; its placed ids, positions and
                                     ///< pasts move on by a token
  int32_t* step = nullptr;           ///< [1] counts up from 0
  const double* uniforms = nullptr;  ///< [steps + 1, rows] numbers in [0, 1)
  double* uniform = nullptr;         ///< [rows] this step's of them; then the next one's
  int32_t* drawn = nullptr;   ///< [rows] this step's tokens, as SampleArgs; the next step reads 0
                              ///< for -1
  int32_t* tokens = nullptr;  ///< [steps, rows] every step's
  const std::byte* captured = nullptr;  ///< what this step has captured, or null
  size_t captured_bytes = 0;            ///< a multiple of 16
  std::byte* history = nullptr;         ///< [steps, captured_bytes]
};

/// Operations that were recorded once and can be run again, on the same memory.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

/// Recorded passes, for backends on which issuing an operation costs more than a small one takes.
class Recorder {
 public:
  /// Whether those that follow can be called.
  virtual bool records() const { return false; }
  /// From here to end_recording() operations are noted instead of done. Whatever a later run is to
  /// see changed must then be in the backend's memory (the placed batch is); nothing may be
  /// uploaded, downloaded, or be of another size.
  virtual void begin_recording() {}
  /// Maximum number of row indices or column ranges in a selection while recording; longer lists
  /// would need an upload.
  virtual size_t recorded_list() const { return 0; }
  virtual std::unique_ptr<Recording> end_recording() { return nullptr; }
  /// Instead of end_recording(), where recording failed: the backend works again.
  virtual void abandon_recording() noexcept {}
  virtual void next_step(const NextStepArgs&) {}

 protected:
  ~Recorder() = default;
};

}  // namespace vitrine::internal
