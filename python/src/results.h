// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "report/result.h"
#include "vitrine/model.h"

namespace vitrine::python {

/// A described result with what its page needs. Everything that Python sees of a result comes from
/// the description.
struct AnalysisResult {
  std::shared_ptr<const internal::Result> result;
  PageSource source;
};

AnalysisResult described_result(internal::Result result, const Model& model);
/// Of data without a model.
AnalysisResult described_result(internal::Result result);

}  // namespace vitrine::python
