// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// For which tokens a pass computes logits. A pass whose hooks watch `logits` computes all of them.
enum class LogitRows : uint8_t { kAll, kLast, kNone };

/// The result of one forward pass over a batch of sequences. Cheap to copy; views live as long as a
/// copy does.
class Run {
 public:
  struct Sequence {
    int64_t past = 0;    ///< tokens that were in the cache before
    int64_t tokens = 0;  ///< tokens of this pass
    TensorView logits;   ///< [tokens, V], [1, V] or [0, V], as LogitRows said; float32
  };

  Run() = default;
  Run(std::vector<Sequence> sequences, std::shared_ptr<const Captures> captures,
      std::shared_ptr<const void> storage)
      : sequences_(std::move(sequences)),
        captures_(std::move(captures)),
        storage_(std::move(storage)) {}

  int sequences() const { return static_cast<int>(sequences_.size()); }
  /// Throws Error (user) for a sequence that is not in the batch.
  const Sequence& sequence(int index) const;
  /// Float32 logits of one sequence. Throws Error (user) for a sequence that is not in the batch.
  TensorView logits(int index = 0) const { return sequence(index).logits; }

  /// A captured site of a run of one sequence; for batches use captures().view(name, sequence).
  /// Throws Error (user) for a site that was not captured, or when the run has several sequences.
  TensorView operator[](std::string_view site) const;
  const Captures& captures() const { return *captures_; }
  /// The captures alone, to be kept or given to replace_from().
  std::shared_ptr<const Captures> shared_captures() const { return captures_; }

 private:
  std::vector<Sequence> sequences_;
  std::shared_ptr<const Captures> captures_;
  std::shared_ptr<const void> storage_;
};

}  // namespace vitrine
