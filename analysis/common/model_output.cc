// SPDX-License-Identifier: MIT
#include "analysis/common/model_output.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/finite.h"
#include "vitrine/non_finite.h"

namespace vitrine::internal {
namespace {

bool edits_logits(const Hooks& edits, const Config& config) {
  return std::any_of(edits.edits().begin(), edits.edits().end(), [&](const Hooks::Change& change) {
    const std::vector<SiteRef> sites = find_sites(change.sites, config, change.where);
    return std::any_of(sites.begin(), sites.end(),
                       [](const SiteRef& site) { return site.site == Site::kLogits; });
  });
}

}  // namespace

ModelOutput::ModelOutput(const Model& model, const Hooks& edits)
    : model_(model), edited_(edits_logits(edits, model.config())) {}

LogitStats ModelOutput::statistics(TensorView rows, UnembedOptions options) const {
  options.final_layernorm = false;
  options.rows_are_logits = edited_;
  return model_.unembed(rows, options);
}

void ModelOutput::visit(TensorView rows, const LogitVisitor& visit) const {
  if (!edited_) return visit_logits(model_, rows, false, visit);
  const int64_t count = rows.elements() / rows.shape().back();
  for (int64_t r = 0; r < count; ++r) visit(r, model_.to_host(rows_between(rows, r, 1)).f32());
}

int32_t ModelOutput::choice(TensorView rows) const {
  const int64_t count = rows.elements() / rows.shape().back();
  return statistics(rows_between(rows, count - 1, 1), {.top_k = 1}).top_ids[0];
}

int32_t next_token(const Model& model, const std::vector<int32_t>& ids, const Hooks& edits) {
  const ModelOutput output(model, edits);
  const Run run = model.forward(ids, edits.only_edits().capture(output.site(), {.positions = {-1}}),
                                {.logits = LogitRows::kNone});
  const LogitStats stats = output.statistics(run.view(output.site()), {.top_k = 1});
  require_distributions(stats, model, {ids}, edits, "the prediction");
  return stats.top_ids[0];
}

TensorView rows_between(TensorView matrix, int64_t first, int64_t count) {
  const int64_t width = matrix.shape().back();
  const auto* data = static_cast<const std::byte*>(matrix.data()) +
                     static_cast<size_t>(first * width) * dtype_size(matrix.dtype());
  return {data, matrix.dtype(), Shape{count, width}, matrix.residence()};
}

void require_distributions(const LogitStats& stats, const Model& model, const Batch& batch,
                           const Hooks& edits, std::string_view what) {
  const bool all =
      std::all_of(stats.lse.begin(), stats.lse.end(), [](float lse) { return std::isfinite(lse); });
  if (!all) refuse_non_finite(model, batch, edits, what);
}

void require_finite(const Captures& captures, const Model& model, const Batch& batch,
                    const Hooks& edits, std::string_view what) {
  for (const Captures::Entry& entry : captures.entries()) {
    for (const Captures::Entry::Sequence& sequence : entry.sequences) {
      const TensorView& values = sequence.values;
      if (first_non_finite(values.host_bytes().data(), values.dtype(), values.elements()))
        refuse_non_finite(model, batch, edits, fmt::format("{} at '{}'", what, entry.name));
    }
  }
}

std::pair<int, Site> pass_place(Site site, int layer, const Config& config) {
  const bool before = site == Site::kEmbed || site == Site::kPosEmbed;
  return {site_info(site).per_layer ? layer : before ? -1 : config.layers, site};
}

void check_edits_reach(const Hooks& edits, const Config& config, const std::vector<SiteRef>& read,
                       std::string_view analysis) {
  const auto place = [&](const SiteRef& site) { return pass_place(site.site, site.layer, config); };
  const auto earlier = [&](const SiteRef& a, const SiteRef& b) { return place(a) < place(b); };
  if (read.empty()) return;
  const SiteRef& last = *std::max_element(read.begin(), read.end(), earlier);
  for (const Hooks::Change& change : edits.edits()) {
    const std::vector<SiteRef> sites = find_sites(change.sites, config, change.where);
    const SiteRef& first = *std::min_element(sites.begin(), sites.end(), earlier);
    if (place(first) <= place(last)) continue;
    user_error(
        "the edit of '{}' changes nothing that {} reads, which ends at '{}': edit an earlier site, "
        "or leave it out",
        change.sites.pattern(), analysis, last.name);
  }
}

}  // namespace vitrine::internal
