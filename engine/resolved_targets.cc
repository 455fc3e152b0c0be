// SPDX-License-Identifier: MIT
#include "engine/resolved_targets.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace vitrine::internal {
namespace {

using Kind = Target::Kind;

int64_t checked_position(const Target::Term& term, int sequence, const std::vector<int32_t>& ids) {
  const auto length = static_cast<int64_t>(ids.size());
  const int64_t position = term.position < 0 ? term.position + length : term.position;
  if (position < 0 || position >= length) {
    user_error(
        "the target's position {} is out of range of sequence {}, which has {} tokens: expected "
        "0..{} or -{}..-1",
        term.position, sequence, length, length - 1, length);
  }
  return position;
}

LogitTermKind logit_kind(Kind kind) {
  switch (kind) {
    case Kind::kLogit:
      return LogitTermKind::kLogit;
    case Kind::kProb:
      return LogitTermKind::kProb;
    case Kind::kEntropy:
      return LogitTermKind::kEntropy;
    case Kind::kKl:
      return LogitTermKind::kKl;
    case Kind::kReverseKl:
      return LogitTermKind::kReverseKl;
    default:
      return LogitTermKind::kLogProb;
  }
}

bool reads_token(Kind kind) {
  return kind == Kind::kLogit || kind == Kind::kLogProb || kind == Kind::kProb;
}
bool reads_reference(Kind kind) { return kind == Kind::kKl || kind == Kind::kReverseKl; }
bool reads_site(Kind kind) { return kind == Kind::kNorm || kind == Kind::kLinear; }

bool is_map(const SiteRef& site) { return site_info(site.site).shape == SiteShape::kMap; }

SiteRef site_named(const std::string& name, const Config& config) {
  std::vector<SiteRef> found = find_sites(name, config);
  if (found.size() != 1)
    user_error("the target's site '{}' matches {} sites: expected one", name, found.size());
  return std::move(found.front());
}

void check_coefficients(const Target::Term& term, const SiteRef& site, int64_t length,
                        const Config& config) {
  if (term.kind == Kind::kNorm) {
    if (is_map(site))
      user_error(
          "cannot take the norm of '{}', which is a map; use target::linear, or a site with rows",
          site.name);
    return;
  }
  const int64_t wanted =
      is_map(site) ? config.heads * length : site_width(site_info(site.site).shape, config);
  if (term.values.elements() != wanted) {
    user_error("the target has the wrong number of coefficients for '{}': {}: expected {}",
               site.name, term.values.elements(), wanted);
  }
}

/// Coefficients [H, keys] of a query's row with zeros for the keys that it does not see, whose
/// scores are -infinity.
Tensor of_visible_keys(const Tensor& coefficients, int64_t keys, int64_t position) {
  Tensor result = Tensor::from(coefficients.f32(), coefficients.shape());
  for (int64_t i = 0; i < result.elements(); ++i) {
    if (i % keys > position) result.f32()[static_cast<size_t>(i)] = 0.0f;
  }
  return result;
}

/// Whether the capture is of the site: then it is what the target reads, too, and must be all of
/// it.
bool captures_site(const Hooks::Capture& capture, const SiteRef& site, const Config& config) {
  const std::vector<SiteRef> sites = find_sites(capture.sites, config, capture.where);
  if (std::none_of(sites.begin(), sites.end(),
                   [&](const SiteRef& each) { return each.name == site.name; }))
    return false;
  const Where& where = capture.where;
  const bool whole = where.positions.empty() && where.heads.empty() && where.neurons.empty() &&
                     where.sequences.empty();
  if (!whole || capture.store != DType::kF32) {
    user_error(
        "the target reads '{}', which '{}' captures {}: expected a capture of the whole site as "
        "f32, or none",
        site.name, capture.sites.pattern(),
        whole ? fmt::format("as {}", dtype_name(capture.store)) : "in part");
  }
  return true;
}

/// What a map's seed is added to: every head's row of one query.
Edit add_to_map(const Tensor& coefficients) {
  const auto add = [coefficients](EditView& view) {
    const std::span<const float> numbers = coefficients.f32();
    for (size_t i = 0; i < view.values.size(); ++i) view.values[i] += numbers[i];
  };
  return callback(add);
}

}  // namespace

ResolvedTargets::ResolvedTargets(const std::vector<Target>& targets, const Batch& batch,
                                 const Config& config)
    : last_(batch.size()) {
  if (targets.size() != 1 && targets.size() != batch.size()) {
    user_error("{} targets for a batch of {} sequences: expected one per sequence, or one for all",
               targets.size(), batch.size());
  }
  for (size_t s = 0; s < batch.size(); ++s) {
    const Target& target = targets.size() == 1 ? targets.front() : targets[s];
    if (target.terms().empty())
      user_error("the target of sequence {} has no terms: create one with vitrine::target", s);
    for (const Target::Term& term : target.terms())
      resolve(term, static_cast<int>(s), batch[s], config);
  }
}

void ResolvedTargets::resolve(const Target::Term& term, int sequence,
                              const std::vector<int32_t>& ids, const Config& config) {
  PassPoint& last = last_[static_cast<size_t>(sequence)];
  if (reads_site(term.kind)) {
    const SiteRef site = site_named(term.site, config);
    check_coefficients(term, site, static_cast<int64_t>(ids.size()), config);
    const int64_t position = checked_position(term, sequence, ids);
    const Tensor coefficients =
        is_map(site) ? of_visible_keys(term.values, static_cast<int64_t>(ids.size()), position)
                     : term.values;
    of_sites_.push_back(
        {sequence, position, site, term.kind == Kind::kNorm, term.weight, coefficients});
    last = std::max(last, pass_point(site.site, site.layer, config));
    return;
  }
  last = pass_point(Site::kLogits, 0, config);
  if (term.kind == Kind::kNextTokens) return add_next_tokens(term, sequence, ids);
  if (reads_token(term.kind) && (term.token < 0 || term.token >= config.vocab)) {
    user_error("the target's token id {} is out of range: expected 0..{}", term.token,
               config.vocab - 1);
  }
  OfLogits wanted{sequence,
                  checked_position(term, sequence, ids),
                  {.kind = logit_kind(term.kind), .token = term.token}};
  wanted.term.weight = static_cast<float>(term.weight);
  if (reads_reference(term.kind)) {
    if (term.values.elements() != config.vocab) {
      user_error("the target's reference has {} logits: expected {}, the vocabulary",
                 term.values.elements(), config.vocab);
    }
    wanted.term.reference = static_cast<int64_t>(references_.size()) / config.vocab;
    references_.insert(references_.end(), term.values.f32().begin(), term.values.f32().end());
  }
  of_logits_.push_back(wanted);
}

void ResolvedTargets::add_next_tokens(const Target::Term& term, int sequence,
                                      const std::vector<int32_t>& ids) {
  if (ids.size() < 2)
    user_error("cross-entropy needs at least two tokens: sequence {} has one", sequence);
  const auto weight = static_cast<float>(-term.weight / static_cast<double>(ids.size() - 1));
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    of_logits_.push_back(
        {sequence,
         static_cast<int64_t>(t),
         {.kind = LogitTermKind::kLogProb, .token = ids[t + 1], .weight = weight}});
  }
}

Hooks ResolvedTargets::with_captures(Hooks hooks, const Config& config) const {
  for (const OfSite& wanted : of_sites_) {
    const auto captured = [&](const Hooks::Capture& capture) {
      return captures_site(capture, wanted.site, config);
    };
    if (std::none_of(hooks.captures().begin(), hooks.captures().end(), captured))
      hooks.capture(wanted.site.name);
  }
  return hooks;
}

Hooks ResolvedTargets::seeds(const Captures* values, std::vector<double>* sums) const {
  Hooks seeds;
  for (const OfSite& wanted : of_sites_) {
    std::vector<float> row;
    if (values != nullptr) {
      const auto found =
          values->row(wanted.site.site, wanted.site.layer, wanted.sequence, wanted.position);
      if (!found) continue;  // of a sequence that is not in this part of the batch
      row = *found;
    }
    const std::span<const float> linear =
        wanted.norm ? std::span<const float>{} : wanted.coefficients.f32();
    double value = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      const double factor = wanted.norm ? row[i] : linear[i];
      if (factor != 0) value += factor * row[i];  // a masked score is -infinity
    }
    if (wanted.norm) value = std::sqrt(value);
    if (sums != nullptr) (*sums)[static_cast<size_t>(wanted.sequence)] += wanted.weight * value;
    std::vector<float> seed(linear.begin(), linear.end());
    if (wanted.norm) seed = row.empty() ? std::vector<float>(1) : row;
    const double factor = wanted.norm ? (value > 0 ? wanted.weight / value : 0.0) : wanted.weight;
    for (float& x : seed) x = static_cast<float>(factor * x);
    const Tensor operand = Tensor::from(seed);
    seeds.edit(wanted.site.name, is_map(wanted.site) ? add_to_map(operand) : add(operand),
               {.positions = {wanted.position}, .sequences = {wanted.sequence}});
  }
  return seeds;
}

}  // namespace vitrine::internal
