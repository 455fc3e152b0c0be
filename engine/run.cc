// SPDX-License-Identifier: MIT
#include "vitrine/run.h"

#include "base/check.h"

namespace vitrine {
using namespace internal;

const Run::Sequence& Run::sequence(int index) const& {
  if (index < 0 || index >= sequences())
    user_error("sequence {} is out of range: expected 0..{}", index, sequences() - 1);
  return sequences_[static_cast<size_t>(index)];
}

TensorView Run::operator[](std::string_view site) const& {
  require_one_sequence();
  return captures_->view(site);
}

TensorView Run::view(Site site, int layer) const& {
  require_one_sequence();
  return captures_->view(site, layer);
}

void Run::require_one_sequence() const {
  if (sequences() != 1)
    user_error("the run has {} sequences: expected one; use captures().view() and a sequence",
               sequences());
}

}  // namespace vitrine
