// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "kernels/buffer_pool.h"
#include "vitrine/config.h"
#include "vitrine/hooks.h"

// Hooks, compiled for a model: patterns resolved to (site, layer), narrowings checked and turned
// into ranges, operands in the backend's memory. After this, a pass only looks up a flat table.

namespace vitrine::internal {

/// A `Where`, resolved for one site of one model.
struct PlannedSelection {
  Indices<int64_t> positions;  ///< as given; empty: all
  Indices<int> sequences;      ///< as given; empty: all
  std::vector<int>
      heads;  ///< ascending, never empty for sites that have heads; empty for the others
  std::vector<Selection::Range>
      cols;  ///< of a row of the site; for a map, whose rows have no fixed width, empty
  std::vector<int64_t> neurons;  ///< ascending, along the last axis; empty: all
  int64_t width = 0;             ///< total of cols; 0 for a map
  int64_t head_width = 0;        ///< selected elements of one head; 0 without a head axis
};

struct PlannedCapture {
  Site site;
  int layer;
  std::string name;
  DType store;
  PlannedSelection where;
  /// Memory of the caller for this site alone, and whether kernels of the backend may write to it.
  std::optional<TensorMemory> into;
  bool direct = false;
};

struct PlannedEdit {
  Site site;
  int layer;
  std::string name;
  Edit edit;
  PlannedSelection where;
  Mat operand;         ///< [1, width] or [positions, width]; for a map [1, context]
  int64_t window = 0;  ///< of a map: Config::window() of the layer
};

class Plan {
 public:
  struct Entry {
    int capture = -1;                  ///< index into captures()
    int edit_begin = 0, edit_end = 0;  ///< range of edits()
    bool watched() const { return capture >= 0 || edited(); }
    bool edited() const { return edit_begin != edit_end; }
  };

  /// Of the captures and edits; operands are in memory of the pool. Throws Error (user) for a
  /// pattern, narrowing or operand that does not fit the model.
  Plan(const Hooks& hooks, const Config& config, Backend& backend, BufferPool& pool);

  bool empty() const { return captures_.empty() && edits_.empty(); }
  const Entry& at(Site site, int layer) const {
    return table_[static_cast<size_t>(site) * layers_ + static_cast<size_t>(layer)];
  }
  /// True if any layer's entry of the site is watched.
  bool any_watched(Site site) const;
  const std::vector<PlannedCapture>& captures() const { return captures_; }
  /// Throws Error (user) if a capture goes to memory of the caller, which `what` does not support.
  void refuse_memory(std::string_view what) const;
  const std::vector<PlannedEdit>& edits() const { return edits_; }

 private:
  void add_capture(const Hooks::Capture& request, const Config& config, bool host_memory);
  /// Appends the operands to `operands`; place_operands() gives them their memory.
  void add_edit(const Hooks::Change& request, const Config& config, std::vector<float>& operands);
  void place_operands(const std::vector<float>& operands, Backend& backend, BufferPool& pool);
  void build_table();

  size_t layers_;
  std::vector<PlannedCapture> captures_;
  std::vector<PlannedEdit> edits_;
  Buffer operands_;  ///< of all edits
  std::vector<Entry> table_;
};

}  // namespace vitrine::internal
