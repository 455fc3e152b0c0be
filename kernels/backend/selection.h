// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/backend/mat.h"

namespace vitrine::internal {

/// Which elements of a site's [rows, cols] an edit or a capture touches.
struct Selection {
  struct Range {
    int64_t begin = 0, count = 0;
  };
  std::span<const int64_t> rows{};  ///< row indices, ascending
  std::span<const Range> cols{};    ///< column ranges, ascending, disjoint
  int64_t width() const;            ///< total of the column counts
};

/// x[sel] = f(x[sel]); `operand` is [1, width] (the same for each row) or [rows, width].
enum class EditKind : uint8_t {
  kAdd,      ///< x + operand
  kScale,    ///< x * factor
  kReplace,  ///< operand
  kProject,  ///< x - (x . u) u for the unit vector u = operand, over the selected columns of each
             ///< row
};

struct EditArgs {
  Mat x{};
  Selection where{};
  EditKind kind = EditKind::kAdd;
  float factor = 1.0f;
  Mat operand{};
  /// Optional, one for each selected row: how many of the selected columns are touched, from the
  /// first. For maps, where a query sees no more keys than its position allows. Not with kProject.
  std::span<const int64_t> limits{};
  /// Optional, the same for those that are left out, from the first: a query with a window. Not
  /// with kProject.
  std::span<const int64_t> starts{};
};

/// Edits and captures of parts of a site.
class SelectionOps {
 public:
  virtual void edit(const EditArgs& args) = 0;
  /// Copies the selection, packed [rows, width], to `destination` on the backend as `store` (f32,
  /// f16, bf16).
  virtual void gather(Mat x, const Selection& where, DType store, std::byte* destination) = 0;
  /// The inverse of a float32 gather: writes `source` [rows, width] to the selection.
  virtual void scatter(const float* source, const Selection& where, Mat x) = 0;

 protected:
  ~SelectionOps() = default;
};

}  // namespace vitrine::internal
