// SPDX-License-Identifier: MIT
#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "engine/backward.h"
#include "engine/compiled_hooks.h"
#include "engine/given_residuals.h"
#include "engine/model_state.h"
#include "engine/prepared_pass.h"
#include "engine/resolved_targets.h"
#include "engine/run_pass.h"
#include "vitrine/resume.h"

namespace vitrine {
using namespace internal;
namespace {

const Plan& requested_gradients(const CompiledHooks& hooks) {
  if (!hooks.gradient) user_error("no gradient is requested: select sites with Hooks::gradient()");
  return *hooks.gradient;
}

void check_sites(const Plan& gradients, const ResolvedTargets& targets,
                 const Linearised& linearised, int sequences, const Config& config) {
  for (const ResolvedTargets::OfSite& read : targets.of_sites()) {
    const bool scale = site_info(read.site.site).shape == SiteShape::kScalar;
    if ((linearised.patterns && read.site.site == Site::kAttnScores) ||
        (linearised.scales && scale)) {
      user_error(
          "the target reads the frozen site '{}', which stops the gradient; do not freeze it, or "
          "read another site",
          read.site.name);
    }
  }
  PassPoint last;
  for (int s = 0; s < sequences; ++s) last = std::max(last, targets.last(s));
  for (const PlannedCapture& capture : gradients.captures()) {
    if (pass_point(capture.site, capture.layer, config) > last) {
      user_error(
          "the target does not depend on '{}', which comes after all sites that it reads; request "
          "the gradient of an earlier site",
          capture.name);
    }
    if (linearised.patterns && capture.site == Site::kAttnScores) {
      user_error(
          "'{}' has no gradient while attention patterns are frozen; request 'hook_pattern', or do "
          "not freeze them",
          capture.name);
    }
    const bool scale = site_info(capture.site).shape == SiteShape::kScalar;
    if (linearised.scales && scale)
      user_error("'{}' has no gradient while the layernorms' scales are frozen; do not freeze them",
                 capture.name);
  }
}

/// One call of backward(): the batch in as many groups of sequences as memory asks for.
class BackwardRun {
 public:
  BackwardRun(const ModelState& model, const Batch& batch, const std::vector<Target>& targets,
              const HookPlan& plan, const BackwardOptions& options, const PassStart& start = {})
      : model_(model),
        batch_(batch),
        options_(options),
        start_(start),
        cache_(transient_cache(model, batch)),
        targets_(targets, batch, model.config),
        hooks_(shared_hooks(plan, model)),
        own_plan_(plan_with_targets()),
        forward_plan_(own_plan_ ? *own_plan_ : hooks_->forward),
        gradient_plan_(requested_gradients(*hooks_)),
        seed_shapes_(compile(targets_.seeds(nullptr, nullptr))) {
    hooks_->forward.refuse_memory("backward()");
    if (start.layer) {
      check_reached(forward_plan_, *start.layer);
      check_reached(gradient_plan_, *start.layer);
    }
    check_sites(gradient_plan_, targets_, options.linearised, static_cast<int>(batch.size()),
                model.config);
    result_.values.assign(batch.size(), 0.0);
    logits_.resize(batch.size());
  }

  Backward run() {
    const auto lock = model_.backend->exclusive();
    choose();
    for (int g = 0; g < result_.groups; ++g) run_group(tokens_of(g, result_.groups));
    std::vector<Run::Sequence> sequences;
    for (size_t s = 0; s < batch_.size(); ++s) {
      sequences.push_back(
          {.past = 0, .tokens = static_cast<int64_t>(batch_[s].size()), .logits = logits_[s]});
    }
    result_.run = Run(std::move(sequences), captures_.finish(),
                      std::make_shared<const std::vector<Buffer>>(std::move(logit_memory_)));
    result_.gradients = gradients_.finish();
    return std::move(result_);
  }

 private:
  Plan compile(const Hooks& hooks) const {
    return {hooks, model_.config, *model_.backend, *model_.pool};
  }

  std::optional<Plan> plan_with_targets() const {
    if (targets_.of_sites().empty()) return std::nullopt;
    return compile(targets_.with_captures(hooks_->hooks.without_gradients(), model_.config));
  }

  /// The batch without the sequences of other groups.
  Batch tokens_of(int group, int groups) const {
    Batch tokens(batch_.size());
    const size_t count = batch_.size();
    for (size_t s = count * static_cast<size_t>(group) / static_cast<size_t>(groups);
         s < count * (static_cast<size_t>(group) + 1) / static_cast<size_t>(groups); ++s) {
      tokens[s] = batch_[s];
    }
    return tokens;
  }

  /// A group's pass, laid out both ways.
  struct Layout {
    PassPlan forward;
    CaptureLayout gradients;
    size_t working_bytes, seed_bytes;

    size_t bytes() const { return forward.bytes() + gradients.bytes + working_bytes + seed_bytes; }
  };
  BackwardPlans plans() const { return {forward_plan_, gradient_plan_, seed_shapes_}; }

  Layout lay_out(const Batch& tokens, Keep keep) const {
    PassPlan forward(model_, forward_plan_, cache_, tokens, options_.logits, keep);
    CaptureLayout gradients(gradient_plan_, forward.rows.slices, model_.config);
    Arena counting;
    GradientMemory(counting, model_.config, plans(), *model_.backend, model_.activation_dtype(),
                   forward.sizes, target_rows(forward.rows));
    return {std::move(forward), std::move(gradients), counting.used(),
            targets_.references().size() * sizeof(float)};
  }

  int64_t target_rows(const BatchRows& rows) const {
    int64_t count = 0, previous = -1;
    for (const LogitTerm& term : terms_of(rows))
      count += std::exchange(previous, term.row) == term.row ? 0 : 1;
    return count;
  }

  std::vector<LogitTerm> terms_of(const BatchRows& rows,
                                  std::vector<int>* sequences = nullptr) const {
    std::vector<std::pair<LogitTerm, int>> terms;
    for (const ResolvedTargets::OfLogits& wanted : targets_.of_logits()) {
      const SequenceSlice& slice = rows.slices[static_cast<size_t>(wanted.sequence)];
      if (slice.rows == 0) continue;
      terms.emplace_back(wanted.term, wanted.sequence);
      terms.back().first.row = slice.row + wanted.position;
    }
    std::stable_sort(terms.begin(), terms.end(),
                     [](const auto& a, const auto& b) { return a.first.row < b.first.row; });
    std::vector<LogitTerm> result;
    for (const auto& [term, sequence] : terms) {
      result.push_back(term);
      if (sequences != nullptr) sequences->push_back(sequence);
    }
    return result;
  }

  /// What is kept, and in how many groups: the first that fits.
  void choose() {
    const size_t room = model_.free_bytes();
    const bool any = options_.keep == KeepPolicy::kAuto;
    for (int groups = 1;; groups = std::min(2 * groups, static_cast<int>(batch_.size()))) {
      for (const KeepPolicy policy : {KeepPolicy::kAll, KeepPolicy::kResiduals}) {
        if (!any && policy != options_.keep) continue;
        size_t most = 0;
        for (int g = 0; g < groups; ++g)
          most = std::max(most, lay_out(tokens_of(g, groups), keep_of(policy)).bytes());
        result_.kept = policy;
        result_.groups = groups;
        if (most <= room) return;
      }
      if (groups == static_cast<int>(batch_.size())) return;  // the first group says what it lacks
    }
  }

  static Keep keep_of(KeepPolicy policy) {
    return policy == KeepPolicy::kAll ? Keep::kAll : Keep::kResiduals;
  }

  void run_group(const Batch& tokens) {
    Layout layout = lay_out(tokens, keep_of(result_.kept));
    model_.require_memory(
        layout.bytes(),
        fmt::format("forward and kept {}, gradients {}, their work {}",
                    megabytes(layout.forward.bytes()), megabytes(layout.gradients.bytes),
                    megabytes(layout.working_bytes + layout.seed_bytes)));
    result_.kept_bytes = std::max(result_.kept_bytes, layout.forward.working_bytes);
    PreparedPass pass(model_, forward_plan_, cache_, std::move(layout.forward), start_.layer);
    if (start_.layer) start_.place(pass);
    if (targets_.of_logits().empty() && pass.logits().rows.empty())
      pass.forward_pass().end_at = end_of_forward(pass.rows().slices);
    pass.run();
    const std::shared_ptr<const Captures> captured = collect_run(pass);
    differentiate(pass, layout, compile(targets_.seeds(captured.get(), &result_.values)));
  }

  /// Keeps the forward pass's results; returns its captures, which seeds read.
  std::shared_ptr<const Captures> collect_run(PreparedPass& pass) {
    const Buffer captured = on_host(model_, pass.captured(), pass.layout().bytes);
    captures_.add(forward_plan_, pass.layout(), captured, nullptr);
    CaptureCollector own;
    own.add(forward_plan_, pass.layout(), captured, nullptr);
    const PassLogits& logits = pass.logits();
    const int64_t vocab = model_.config.vocab;
    const Buffer memory = on_host(model_, logits.memory,
                                  logits.rows.size() * static_cast<size_t>(vocab) * sizeof(float));
    for (size_t s = 0; s < batch_.size(); ++s) {
      if (pass.rows().slices[s].rows == 0) continue;
      const int64_t first = logits.offsets[s], rows = logits.offsets[s + 1] - first;
      logits_[s] = TensorView(rows > 0 ? memory.f32() + first * vocab : nullptr, DType::kF32,
                              Shape{rows, vocab});
    }
    logit_memory_.push_back(memory);
    return own.finish();
  }

  void differentiate(PreparedPass& pass, const Layout& layout, const Plan& seed_plan) {
    Backend& backend = *model_.backend;
    const std::span<const SequenceSlice> slices = pass.rows().slices;
    Arena arena(model_.pool->take(layout.working_bytes));
    const PassPlan& laid_out = pass.laid_out();
    std::vector<int> sequences;
    const std::vector<LogitTerm> terms = terms_of(pass.rows(), &sequences);
    GradientMemory memory(arena, model_.config, plans(), backend, model_.activation_dtype(),
                          laid_out.sizes, target_rows(pass.rows()));
    const Buffer references = model_.pool->take(layout.seed_bytes),
                 kept = model_.pool->take(whole_lines(layout.gradients.bytes));
    backend.upload(references.data(), targets_.references().data(), layout.seed_bytes);
    const EditContext context{backend, *model_.pool, *model_.host_pool, slices};
    HookRun gradients(gradient_plan_, layout.gradients, kept, context,
                      HookRun::Order::kCapturesFirst);
    const CaptureLayout nothing(seed_plan, slices, model_.config);
    HookRun seeds(seed_plan, nothing, {}, context);
    std::vector<double> values(terms.size());
    BackwardPass backward_pass{.forward = pass.forward_pass(),
                               .gradients = gradients,
                               .seeds = seeds,
                               .grad = memory,
                               .linearised = options_.linearised,
                               .terms = terms,
                               .references = references.f32(),
                               .values = values,
                               .last = last_point(slices),
                               .first = first_point()};
    internal::backward(backward_pass);
    for (size_t i = 0; i < terms.size(); ++i)
      result_.values[static_cast<size_t>(sequences[i])] +=
          static_cast<double>(terms[i].weight) * values[i];
    gradients_.add(gradient_plan_, layout.gradients, on_host(model_, kept, layout.gradients.bytes),
                   nullptr);
  }

  PassPoint last_point(std::span<const SequenceSlice> slices) const {
    PassPoint last;
    for (size_t s = 0; s < slices.size(); ++s) {
      if (slices[s].rows > 0) last = std::max(last, targets_.last(static_cast<int>(s)));
    }
    return last;
  }

  /// Where a pass without logits may end. Of the block where the backward pass begins it reads all.
  PassPoint end_of_forward(std::span<const SequenceSlice> slices) const {
    const PassPoint whole_block{last_point(slices).depth, Site::kResidPost};
    return std::max(whole_block, last_used(forward_plan_, model_.config).value_or(PassPoint{}));
  }

  PassPoint first_point() const {
    PassPoint first{model_.config.layers, Site::kLogits};
    for (const PlannedCapture& capture : gradient_plan_.captures())
      first = std::min(first, pass_point(capture.site, capture.layer, model_.config));
    return first;
  }

  const ModelState& model_;
  const Batch& batch_;
  const BackwardOptions& options_;
  const PassStart& start_;
  KvCache cache_;  // first, for its batch is checked before anything looks at it
  ResolvedTargets targets_;
  std::shared_ptr<const CompiledHooks> hooks_;
  std::optional<Plan> own_plan_;  ///< with captures of the sites that targets read
  const Plan &forward_plan_, &gradient_plan_;
  Plan seed_shapes_;
  CaptureCollector captures_, gradients_;
  std::vector<TensorView> logits_;
  std::vector<Buffer> logit_memory_;
  Backward result_;
};

}  // namespace

Backward backward(const Model& model, const Batch& batch, const std::vector<Target>& targets,
                  const Hooks& hooks, const BackwardOptions& options) {
  return backward(model, batch, targets, model.compile(hooks), options);
}

Backward backward(const Model& model, const Batch& batch, const std::vector<Target>& targets,
                  const HookPlan& plan, const BackwardOptions& options) {
  return BackwardRun(state_of(model), batch, targets, plan, options).run();
}

Backward backward_from(const Model& model, int layer, const std::vector<TensorView>& residuals,
                       const std::vector<Target>& targets, const HookPlan& plan,
                       const BackwardOptions& options) {
  const ModelState& state = state_of(model);
  const GivenResiduals given(state, layer, residuals);
  return BackwardRun(state, given.tokens, targets, plan, options, given.start).run();
}

}  // namespace vitrine
