// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <vector>

#include "engine/backward.h"
#include "vitrine/gradients.h"
#include "vitrine/hooks.h"

namespace vitrine::internal {

/// Targets, checked against a model and a batch and taken apart: what they read of logits, and what
/// of sites.
class ResolvedTargets {
 public:
  struct OfLogits {
    int sequence;
    int64_t position;
    LogitTerm term;  ///< `row` is not known yet; `reference` counts references()
  };
  struct OfSite {
    int sequence;
    int64_t position;
    SiteRef site;
    bool norm;  ///< else linear
    double weight;
    Tensor coefficients;  ///< of a linear one
  };

  /// Throws Error (user) for a number of targets other than one or the batch's, and for a target
  /// without terms; a token, position or site that is not there; a reference of another size than
  /// the vocabulary.
  ResolvedTargets(const std::vector<Target>& targets, const Batch& batch, const Config& config);

  const std::vector<OfLogits>& of_logits() const { return of_logits_; }
  const std::vector<OfSite>& of_sites() const { return of_sites_; }
  /// [references, V] log-probabilities.
  const std::vector<float>& references() const { return references_; }
  /// The last point of the pass that a sequence's target reads.
  PassPoint last(int sequence) const { return last_[static_cast<size_t>(sequence)]; }

  /// Captures of the sites that targets read, where `hooks` has none of the site. Throws Error
  /// (user) if it has one of a part, or as another type than float32: the target would see that.
  Hooks with_captures(Hooks hooks, const Config& config) const;
  /// What targets add to the gradient at sites, as edits; `values` is what the pass has captured,
  /// or null for the shapes alone. Adds the targets' values to `sums` [sequences].
  Hooks seeds(const Captures* values, std::vector<double>* sums) const;

 private:
  void resolve(const Target::Term& term, int sequence, const std::vector<int32_t>& ids,
               const Config& config);
  void add_next_tokens(const Target::Term& term, int sequence, const std::vector<int32_t>& ids);

  std::vector<OfLogits> of_logits_;
  std::vector<OfSite> of_sites_;
  std::vector<float> references_;
  std::vector<PassPoint> last_;
};

}  // namespace vitrine::internal
