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

/// Captured activations of a pass, or of all passes of a generation. Immutable. Views are valid as
/// long as this object.
///
/// For one sequence a site is a dense tensor whose first axis is the captured positions in
/// ascending order: [P, D], [P, H, K], [P, M], ..., restricted to the requested heads and neurons.
/// A map (scores, pattern) is [H, P, N], where N is the length of the sequence; masked keys hold
/// -inf (scores) or 0 (pattern).
class Captures : public ActivationSource {
 public:
  /// One captured site.
  struct Entry {
    Site site;
    int layer;
    std::string name;
    DType dtype;
    std::vector<int> heads;  ///< captured heads, for a site that has heads
    struct Sequence {
      std::vector<int64_t> positions;  ///< positions of the rows
      TensorView values;
    };
    /// By index in the batch; no rows for sequences that were not selected.
    std::vector<Sequence> sequences;

    /// Rows of all sequences as one view, [N, D], [N, H, K], ..., where N is the sum over the
    /// sequences: their values lie one after the other. Throws Error (user) for a map.
    TensorView rows() const;
    /// [sequences + 1] First row of each sequence in rows(), then N.
    std::vector<int64_t> offsets() const;
  };

  Captures() = default;
  Captures(std::vector<Entry> entries, std::vector<std::shared_ptr<const void>> storage,
           const void* device = nullptr)
      : entries_(std::move(entries)), storage_(std::move(storage)), device_(device) {}

  bool empty() const { return entries_.empty(); }
  /// All captured sites, in the order of the pass.
  const std::vector<Entry>& entries() const { return entries_; }
  bool has(std::string_view name) const;
  bool has(Site site, int layer = 0) const;
  /// Throws Error (user) that lists the captured sites if the site was not captured.
  const Entry& entry(std::string_view name) const;
  const Entry& entry(Site site, int layer = 0) const;
  /// Captured values of one sequence. Throws Error (user) for a site that was not captured, and for
  /// a sequence out of range.
  TensorView view(std::string_view name, int sequence = 0) const;
  TensorView view(Site site, int layer = 0, int sequence = 0) const;
  /// Mean over all captured positions of all sequences, summed in double precision: a float32
  /// tensor of one row's width, the operand of mean_ablate(). Throws Error (user) for maps and for
  /// sites without rows.
  Tensor mean(std::string_view name) const;

  std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                        int64_t position) const override;
  std::optional<int64_t> map_heads(Site site, int layer) const override;
  std::optional<TensorView> row_view(Site site, int layer, int sequence,
                                     int64_t position) const override;
  std::optional<TensorView> map_row_view(Site site, int layer, int sequence, int64_t position,
                                         int64_t head) const override;
  const void* device() const override { return device_; }

 private:
  const Entry* find(Site site, int layer) const;
  [[noreturn]] void fail_not_captured(std::string_view name) const;

  std::vector<Entry> entries_;
  std::vector<std::shared_ptr<const void>> storage_;  ///< owns the memory of the views
  const void* device_ = nullptr;
};

}  // namespace vitrine
