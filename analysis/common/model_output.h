// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "vitrine/hooks.h"
#include "vitrine/logit_rows.h"
#include "vitrine/model.h"

namespace vitrine::internal {

/// Where an analysis reads the model's own output. Usually that is the final layernorm's output,
/// whose logits are then computed a few rows at a time; if the edits change `logits`, it is that
/// site, all rows of it.
class ModelOutput {
 public:
  ModelOutput(const Model& model, const Hooks& edits);

  /// The site to capture.
  Site site() const { return edited_ ? Site::kLogits : Site::kLnFinalNormalized; }
  bool edited() const { return edited_; }
  /// Of rows of the site; `options` without final_layernorm.
  LogitStats statistics(TensorView rows, UnembedOptions options) const;
  /// The logits of rows of the site, in order.
  void visit(TensorView rows, const LogitVisitor& visit) const;
  /// The top-ranked token of the site's last row.
  int32_t choice(TensorView rows) const;

 private:
  const Model& model_;
  bool edited_;
};

/// The model's own next token: the top-ranked one after these ids, under the edits. Throws Error
/// (user) for a prediction that is not finite.
int32_t next_token(const Model& model, const std::vector<int32_t>& ids, const Hooks& edits);

/// Rows [first, first + count) of a matrix.
TensorView rows_between(TensorView matrix, int64_t first, int64_t count);

/// Throws Error (user) if a row of the statistics has no distribution, saying where the run of this
/// batch first has a value that is not finite. `what` is what the statistics are: "the lens".
void require_distributions(const LogitStats& stats, const Model& model, const Batch& batch,
                           const Hooks& edits, std::string_view what);

/// Throws Error (user) if a captured row has a NaN or an infinity, saying where the run of this
/// batch first has one.
void require_finite(const Captures& captures, const Model& model, const Batch& batch,
                    const Hooks& edits, std::string_view what);

/// A site's place in the order of the pass.
std::pair<int, Site> pass_place(Site site, int layer, const Config& config);

/// Throws Error (user) for an edit that changes nothing that `analysis` reads, because each of its
/// sites comes after the last of these.
void check_edits_reach(const Hooks& edits, const Config& config, const std::vector<SiteRef>& read,
                       std::string_view analysis);

}  // namespace vitrine::internal
