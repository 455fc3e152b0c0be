// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// What the captures of a pass, or of all passes of a generation, have kept. Immutable; views live
/// as long as it does.
///
/// For one sequence a site is a dense tensor whose first axis is the captured positions, in
/// ascending order: [P, D], [P, H, K], [P, M], ..., narrowed by the request's heads and neurons. A
/// map (scores, pattern) is [H, P, N], N being the length of the sequence; keys that a query could
/// not see hold -inf (scores) or 0 (pattern).
class Captures : public ActivationSource {
 public:
  /// One captured site.
  struct Entry {
    Site site;
    int layer;
    std::string name;
    DType dtype;
    std::vector<int> heads;  ///< the captured heads, for a site that has heads
    struct Sequence {
      std::vector<int64_t> positions;  ///< of the rows
      TensorView values;
    };
    std::vector<Sequence>
        sequences;  ///< by index in the batch; without rows where the request named others
  };

  Captures() = default;
  Captures(std::vector<Entry> entries, std::vector<std::shared_ptr<const void>> storage)
      : entries_(std::move(entries)), storage_(std::move(storage)) {}

  bool empty() const { return entries_.empty(); }
  /// All captured sites, in the order of the pass.
  const std::vector<Entry>& entries() const { return entries_; }
  bool has(std::string_view name) const;
  /// Throws Error (user) listing what was captured if `name` was not.
  const Entry& entry(std::string_view name) const;
  /// One sequence's part of a site. Throws Error (user) for an unknown site or sequence.
  TensorView view(std::string_view name, int sequence = 0) const;
  /// The mean over all captured positions of all sequences, in double precision: a float32 tensor
  /// of one row's width, ready for mean_ablate(). Throws Error (user) for maps and for sites
  /// without rows.
  Tensor mean(std::string_view name) const;

  std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                        int64_t position) const override;

 private:
  std::vector<Entry> entries_;
  std::vector<std::shared_ptr<const void>> storage_;  ///< keeps the memory behind the views
};

}  // namespace vitrine
