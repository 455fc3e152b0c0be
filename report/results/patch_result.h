// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "report/result.h"
#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/pairs.h"
#include "vitrine/analysis/path_patching.h"

namespace vitrine::internal {

Result patching_result(const Patching& found, const PatchSubject& subject,
                       const PageSource& source);
Result ablation_result(const Ablations& found, const PatchSubject& subject,
                       const PageSource& source);
Result trace_result(const Trace& found, const PatchSubject& subject, const PageSource& source);
Result path_result(const PathPatching& found, const PatchSubject& subject,
                   const PageSource& source);
Result patched_pairs_result(const OverPairs<Patching>& found, const PatchSubject& subject,
                            const PageSource& source);
Result path_pairs_result(const OverPairs<PathPatching>& found, const PatchSubject& subject,
                         const PageSource& source);

}  // namespace vitrine::internal
