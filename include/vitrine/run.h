// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// Tokens for which a pass computes logits. A pass with hooks at `logits` computes all of them.
enum class LogitRows : uint8_t { kAll, kLast, kNone };

/// Result of one forward pass over a batch of sequences. Copies are cheap and share the data; views
/// are valid as long as one copy.
class Run {
 public:
  struct Sequence {
    int64_t past = 0;    ///< number of tokens in the cache before the pass
    int64_t tokens = 0;  ///< number of tokens of this pass
    TensorView logits;   ///< float32 [tokens, V], [1, V] or [0, V], depending on LogitRows
  };

  Run() = default;
  Run(std::vector<Sequence> sequences, std::shared_ptr<const Captures> captures,
      std::shared_ptr<const void> storage)
      : sequences_(std::move(sequences)),
        captures_(std::move(captures)),
        storage_(std::move(storage)) {}

  int sequences() const { return static_cast<int>(sequences_.size()); }
  /// Throws Error (user) for a sequence out of range.
  const Sequence& sequence(int index) const&;
  /// Float32 logits of one sequence. Throws Error (user) for a sequence out of range.
  TensorView logits(int index = 0) const& { return sequence(index).logits; }

  /// Captured site of a run with one sequence; for batches use captures().view(). Throws Error
  /// (user) for a site that was not captured, and if the run has several sequences.
  TensorView operator[](std::string_view site) const&;
  TensorView view(Site site, int layer = 0) const&;
  const Captures& captures() const& { return *captures_; }
  /// Captures without the rest of the run, for example as the source of replace_from().
  std::shared_ptr<const Captures> shared_captures() const { return captures_; }

  // A temporary's views would outlive their memory: keep the run in a variable.
  const Sequence& sequence(int index) const&& = delete;
  TensorView logits(int index = 0) const&& = delete;
  TensorView operator[](std::string_view site) const&& = delete;
  TensorView view(Site site, int layer = 0) const&& = delete;
  const Captures& captures() const&& = delete;

 private:
  void require_one_sequence() const;

  std::vector<Sequence> sequences_;
  std::shared_ptr<const Captures> captures_;
  std::shared_ptr<const void> storage_;
};

}  // namespace vitrine
