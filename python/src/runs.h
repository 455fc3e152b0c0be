// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>

#include "python/src/arrays.h"
#include "vitrine/run.h"

namespace vitrine::python {

/// One sequence of a pass. `gpu`: where the results are, if they stayed on the model's GPU.
struct RunOfSequence {
  std::shared_ptr<const Run> run;
  int sequence;
  std::optional<int> gpu = {};

  const Run::Sequence& part() const { return run->sequence(sequence); }
  SequenceCaptures captures() const { return {run->shared_captures(), sequence, gpu}; }
};

/// All sequences of a pass.
struct RunBatch {
  std::shared_ptr<const Run> run;
  std::optional<int> gpu = {};
};

/// `index` of `count` as Python counts, from the end if negative. Throws IndexError.
int python_index(int64_t index, int64_t count);

}  // namespace vitrine::python
