// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "python/src/arrays.h"
#include "vitrine/run.h"

namespace vitrine::python {

/// One sequence of a pass.
struct RunOfSequence {
  std::shared_ptr<const Run> run;
  int sequence;

  const Run::Sequence& part() const { return run->sequence(sequence); }
  SequenceCaptures captures() const { return {run->shared_captures(), sequence}; }
};

/// All sequences of a pass.
struct RunBatch {
  std::shared_ptr<const Run> run;
};

/// `index` of `count` as Python counts, from the end if negative. Throws IndexError.
int python_index(int64_t index, int64_t count);

}  // namespace vitrine::python
