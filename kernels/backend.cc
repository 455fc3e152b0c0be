#include "kernels/backend.h"

namespace vitrine {

PackedMatrix PackedMatrix::inputs(int64_t begin, int64_t count) const {
  PackedMatrix part = *this;
  part.data += begin * input_stride;
  part.in = count;
  return part;
}

int64_t Selection::width() const {
  int64_t total = 0;
  for (const Range& range : cols) total += range.count;
  return total;
}

}  // namespace vitrine
