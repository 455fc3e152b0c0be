// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "vitrine/corpus/corpus.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine::internal {

/// A site that is captured over a corpus.
struct WindowSite {
  Site site;
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int> heads;        ///< that are captured, for a site that has heads
  std::vector<int64_t> neurons;  ///< ascending; empty: all
  Indices<int64_t> positions;    ///< as asked, within a window; empty: all
  std::vector<int64_t> row;      ///< sizes of the axes after the rows
  bool int8 = false;             ///< stored as int8 with a scale for each row

  int64_t width() const;  ///< elements of a row
  /// Whether there is a row for a position of a window: that of a new token, and requested.
  bool has_row(int64_t position, const Window& window) const;
  /// Of each element of a row: "17"; "3.17" for element 17 of head 3.
  std::vector<std::string> variable_names() const;
  DType stored() const { return int8 ? DType::kI8 : dtype; }
  uint64_t stored_bytes() const {  ///< of a row
    return static_cast<uint64_t>(width()) * dtype_size(stored()) + (int8 ? sizeof(float) : 0);
  }
  uint64_t row_bytes() const { return static_cast<uint64_t>(width()) * dtype_size(dtype); }
};

/// Windows that have gone through the model together.
struct WindowBatch {
  std::vector<Window> windows;
  std::vector<uint64_t> digests;  ///< WindowReader::digest as each was read
  Run run;
};

/// Runs windows through a model, some at a time.
class WindowBatches {
 public:
  /// `residence`: where captures are left. Throws Error (user) for hooks that do not fit the model
  /// or a corpus: nothing captured, a map, a narrowing by sequence.
  WindowBatches(const Model& model, const Hooks& hooks, int64_t batch_tokens,
                Residence residence = Residence::kHost);

  const std::vector<WindowSite>& sites() const { return sites_; }
  /// Sites are to be stored as int8. Throws Error (user) for captures of another type than f32,
  /// which would be rounded twice.
  void store_int8();

  /// The next windows, as many as have `batch_tokens` tokens, one at least and `most` at most;
  /// none: the corpus is at its end. Throws Error (user) as WindowReader::next and Model::forward
  /// do.
  WindowBatch next(WindowReader& windows, int64_t most = std::numeric_limits<int64_t>::max());

  /// Runs the windows that a batch has.
  void forward(WindowBatch& batch);

  /// The rows that a site has for a window of a batch, of `rows` by their positions: those of new
  /// tokens at requested positions.
  static std::vector<size_t> kept_rows(const WindowSite& site,
                                       const Captures::Entry::Sequence& rows, const Window& window);

 private:
  /// The hooks, where a capture with `everywhere` is of all positions.
  const HookPlan& plan_at(std::vector<bool> everywhere);
  /// A narrowing to positions that some window lacks is left to kept_rows().
  const HookPlan& plan_for(const std::vector<Window>& windows);

  Model model_;
  Hooks hooks_;
  int64_t batch_tokens_;
  Residence residence_;
  std::vector<WindowSite> sites_;
  std::optional<HookPlan> plan_;  ///< of the last batch
  std::vector<bool> everywhere_;  ///< of which captures it is
  Window held_;                   // read, but too large for the batch before
  bool holds_ = false;
};

/// How many tokens a corpus has, as far as that can be told from the bytes read so far and the
/// tokens in them; 0: it cannot.
uint64_t estimated_tokens(const DocumentReader& documents, uint64_t tokens);

}  // namespace vitrine::internal
