// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hooks/edit_rows.h"
#include "hooks/plan.h"
#include "kernels/backend.h"
#include "vitrine/captures.h"

namespace vitrine::internal {

/// Where the captures of one pass go: which rows of the packed batch each wants, and its bytes in
/// the pass's arena or in memory of the caller.
struct CaptureLayout {
  struct Sequence {
    std::vector<int64_t> positions;  ///< captured, ascending
    std::vector<int64_t>
        rows;  ///< the same as rows of the packed batch (of the sequence's block, for a map)
    int64_t keys = 0;   ///< columns of a map
    size_t offset = 0;  ///< into the item's memory
  };
  struct Item {
    std::vector<Sequence> sequences;
    std::vector<int64_t> rows;  ///< of all sequences, for sites that are no map
    size_t offset = 0;          ///< into the arena
    size_t bytes = 0;
    std::byte* given = nullptr;  ///< memory of the caller that takes the place of the arena's
    bool in_place =
        false;  ///< every row and column, as float32: a kernel may write it straight there

    std::byte* at(std::byte* arena) const { return given != nullptr ? given : arena + offset; }
  };
  std::vector<Item> items;  ///< as Plan::captures()
  size_t bytes = 0;         ///< of the arena

  /// Throws Error (user) for a position or sequence that is not in the batch, and for memory of the
  /// caller of another shape.
  CaptureLayout(const Plan& plan, std::span<const SequenceSlice> slices, const Config& config);

  /// "blocks.0.attn.hook_pattern 48.0 MB, ..." the largest first: for the message that refuses a
  /// run.
  std::string largest_sites(const Plan& plan, size_t count) const;
};

/// The shape of `rows` captured rows of one sequence; `keys`: of a map.
Shape captured_shape(const PlannedCapture& capture, int64_t rows, int64_t keys);

/// The hooks of one pass: what forward.cc and backward.cc call at each site.
class HookRun {
 public:
  /// A forward pass shows a capture what edits have left. In a backward pass edits are derivatives,
  /// which lead from what a capture has seen on to what was there before.
  enum class Order : uint8_t { kEditsFirst, kCapturesFirst };

  /// `arena` holds layout.bytes on the backend. Everything given must outlive the object.
  HookRun(const Plan& plan, const CaptureLayout& layout, Buffer arena, EditContext context,
          Order order = Order::kEditsFirst);

  bool watched(Site site, int layer = 0) const {
    return !plan_.empty() && plan_.at(site, layer).watched();
  }
  bool edited(Site site, int layer = 0) const {
    return !plan_.empty() && plan_.at(site, layer).edited();
  }

  /// Applies the site's edits to `x` and keeps what is to be captured, in the run's order. `x` is
  /// the site for all rows of the batch.
  void visit(Site site, int layer, Mat x) {
    if (watched(site, layer)) visit_watched(site, layer, x);
  }
  /// The same for an attention map, blocks of [H, rows, keys] as the sequences' slices say.
  void visit_map(Site site, int layer, float* map) {
    if (watched(site, layer)) visit_watched_map(site, layer, map);
  }
  /// Where a kernel should write what it computes on the way: nowhere if the site is not watched,
  /// straight to the arena if the capture wants it whole, else to `scratch`. The site is visited
  /// with the same matrix afterwards.
  Mat tap(Site site, int layer, Mat scratch) const;
  float* tap_map(Site site, int layer, float* scratch) const;

 private:
  void visit_watched(Site site, int layer, Mat x);
  void visit_watched_map(Site site, int layer, float* map);
  void capture(const Plan::Entry& entry, Mat x);
  void capture_map(const Plan::Entry& entry, float* map);
  const CaptureLayout::Item* in_place_item(Site site, int layer) const;

  const Plan& plan_;
  const CaptureLayout& layout_;
  Buffer arena_;
  EditContext context_;
  Order order_;
};

/// Joins what the passes of a run have captured, in order of the passes, into one Captures.
class CaptureCollector {
 public:
  /// Takes over the arena that a pass has filled, in the memory of `device`, or its copy on the
  /// host if that is null. `plan` and `layout` need not live on.
  void add(const Plan& plan, const CaptureLayout& layout, Buffer arena, const Backend* device);
  std::shared_ptr<const Captures> finish();

 private:
  struct Part {
    std::vector<int64_t> positions;
    TensorView values;
    int64_t keys = 0;
  };
  void join_rows(Captures::Entry& entry, const std::vector<std::vector<Part>>& parts);
  Captures::Entry::Sequence join_map(const Captures::Entry& entry, const std::vector<Part>& parts);

  std::vector<Captures::Entry> entries_;
  std::vector<std::vector<std::vector<Part>>> parts_;  ///< [entry][sequence][pass]
  std::vector<std::shared_ptr<const void>> storage_;
  const Backend* device_ = nullptr;
};

}  // namespace vitrine::internal
