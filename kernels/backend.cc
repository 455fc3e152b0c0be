#include "kernels/backend.h"

namespace vitrine {

PackedMatrix PackedMatrix::inputs(int64_t begin, int64_t count) const {
  PackedMatrix part = *this;
  part.data += static_cast<size_t>(begin * kPanel) * dtype_size(dtype);
  part.in = count;
  return part;
}

int64_t Selection::width() const {
  int64_t total = 0;
  for (const Range& range : cols) total += range.count;
  return total;
}

}  // namespace vitrine
