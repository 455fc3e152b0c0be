// SPDX-License-Identifier: MIT
#include "vitrine/beam_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "engine/compiled_hooks.h"
#include "engine/generate_options.h"
#include "engine/logits_processor.h"
#include "engine/model_state.h"
#include "engine/non_finite_steps.h"
#include "engine/run_pass.h"
#include "engine/stop_strings.h"
#include "hooks/generation_edits.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr double kUnlikely = -1e9;  // instead of minus infinity, as in the original

void check_beams(const GenerateOptions& options, const BeamOptions& beams, const Plan& plan,
                 std::span<const int32_t> prompt, const Config& config) {
  if (beams.beams < 1) user_error("beams {} is out of range: expected 1 or more", beams.beams);
  if (beams.results < 1 || beams.results > beams.beams)
    user_error("results {} is out of range: expected 1..{} (beams)", beams.results, beams.beams);
  if (!std::isfinite(beams.length_penalty))
    user_error("length_penalty {} is out of range: expected a finite number", beams.length_penalty);
  if (options.max_new_tokens < 1)
    user_error("max_new_tokens {} is out of range: expected 1 or more", options.max_new_tokens);
  if (options.sampling.temperature != 0)
    user_error("temperature {} has no place in a beam search: expected 0",
               options.sampling.temperature);
  if (options.past_context != PastContext::kReject)
    user_error("past_context end or slide has no place in a beam search: expected reject");
  if (options.on_token || options.log_probabilities)
    user_error(
        "a beam search has no single next token: expected neither on_token nor "
        "`log_probabilities`");
  if (!plan.captures().empty())
    user_error("'{}' is captured, and beams come and go: expected no captures",
               plan.captures()[0].name);
  for (const PlannedEdit& edit : plan.edits()) {
    if (!edit.where.sequences.empty())
      user_error("'{}' is edited in single sequences, which are beams: expected an edit of all",
                 edit.name);
  }
  check_room(options, {{prompt.begin(), prompt.end()}}, config);
}

/// A beam that goes on. Its keys and values are those of the cache's sequence `slot`.
struct Running {
  std::vector<int32_t> ids;
  double score = 0;
  int slot = 0;
};

/// A beam and one more token.
struct Candidate {
  size_t beam = 0;
  int32_t id = 0;
  double score = 0;
  bool ends = false;
  StopReason reason = StopReason::kLength;
};

struct Finished {
  Beam beam;
  bool is_result = false;  ///< false: a place that is still free
};

class BeamSearch {
 public:
  BeamSearch(const Model& model, std::span<const int32_t> prompt, const GenerateOptions& options,
             const BeamOptions& beams, const HookPlan& plan)
      : handle_(model),
        model_(state_of(model)),
        prompt_(prompt.begin(), prompt.end()),
        options_(options),
        beams_(beams),
        processor_(options),
        stop_strings_(options.stop_strings, model),
        hooks_(shared_hooks(plan, model_)),
        count_(static_cast<size_t>(beams.beams)) {
    check_batch(model_, {prompt_});
    check_beams(options, beams, forward_plan(plan, model_), prompt_, model_.config);
    const int64_t capacity = std::ssize(prompt_) + options.max_new_tokens - 1;
    cache_ = make_cache(model_, std::vector<int64_t>(count_, capacity));
    finished_.resize(count_, Finished{{{}, kUnlikely}});
  }

  std::vector<Beam> run() {
    Batch next(count_);
    next[0] = prompt_;
    read(next);
    running_.resize(count_, {{}, kUnlikely, 0});
    running_[0].score = 0;  // the others are equal: only one of them counts
    bool improvable = true;
    for (int length = 1;; ++length) {
      const std::vector<Candidate> candidates = best_candidates(length);
      const std::vector<Running> before = std::exchange(running_, go_on(candidates));
      finish(candidates, before, length, improvable);
      const bool full = std::ranges::all_of(finished_, &Finished::is_result);
      improvable = improvable && (!full || best_possible(length) > finished_.back().beam.score);
      const bool over = std::ranges::all_of(candidates, &Candidate::ends);
      if (!improvable || (full && beams_.end == BeamEnd::kFull) || over) break;
      place();
      for (auto& tokens : next) tokens.clear();
      for (const Running& beam : running_) next[static_cast<size_t>(beam.slot)] = {beam.ids.back()};
      read(next);
    }
    std::vector<Beam> results;
    for (int i = 0; i < beams_.results; ++i) {
      Finished& each = finished_[static_cast<size_t>(i)];
      if (each.is_result) results.push_back(std::move(each.beam));
    }
    return results;
  }

 private:
  /// One pass; the logits after each slot that read something.
  void read(const Batch& next) {
    const auto vocab = static_cast<size_t>(model_.config.vocab);
    const PassLogits logits =
        run_pass(model_, hooks_->forward, cache_, next, {.logits = LogitRows::kLast}, collector_);
    logits_.resize(count_ * vocab);
    const auto lock = model_.backend->exclusive();
    for (size_t slot = 0; slot < count_; ++slot) {
      if (next[slot].empty()) continue;
      const float* row = logits.memory.f32() + (logits.offsets[slot + 1] - 1) * model_.config.vocab;
      model_.backend->download(logits_.data() + slot * vocab, row, vocab * sizeof(float));
    }
  }

  /// Log-probabilities of the token after a beam, processed.
  std::vector<float> next_scores(const Running& beam) const {
    const auto vocab = static_cast<size_t>(model_.config.vocab);
    const auto row = std::span(logits_).subspan(static_cast<size_t>(beam.slot) * vocab, vocab);
    const double highest = static_cast<double>(*std::max_element(row.begin(), row.end()));
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit) - highest);
    if (!std::isfinite(sum)) refuse_step(beam);
    const double lse = highest + std::log(sum);
    std::vector<float> scores(vocab);
    for (size_t id = 0; id < vocab; ++id)
      scores[id] = static_cast<float>(static_cast<double>(row[id]) - lse);
    processor_.apply(scores, prompt_, beam.ids);
    return scores;
  }

  [[noreturn]] void refuse_step(const Running& beam) const {
    std::vector<Batch> passes = {{prompt_}};
    for (const int32_t id : beam.ids) passes.push_back({{id}});
    refuse(find_non_finite(handle_, passes, hooks_->hooks),
           fmt::format("the distribution of new token {} of a beam", beam.ids.size()));
  }

  /// Enough of the best continuations that `beams` of them go on, whatever ends; best first.
  std::vector<Candidate> best_candidates(int length) const {
    const size_t keep = std::max<size_t>(2, 1 + options_.stop_ids.size()) * count_;
    std::vector<Candidate> all;
    for (size_t b = 0; b < count_; ++b) {
      const std::vector<float> scores = next_scores(running_[b]);
      for (size_t id = 0; id < scores.size(); ++id)
        all.push_back({.beam = b,
                       .id = static_cast<int32_t>(id),
                       .score = running_[b].score + static_cast<double>(scores[id])});
    }
    const size_t count = std::min(keep, all.size());
    std::ranges::partial_sort(all, all.begin() + static_cast<std::ptrdiff_t>(count),
                              [](const Candidate& a, const Candidate& b) {
                                return std::tuple(-a.score, a.beam, a.id) <
                                       std::tuple(-b.score, b.beam, b.id);
                              });
    all.resize(count);
    for (Candidate& each : all) {
      std::vector<int32_t> ids = running_[each.beam].ids;
      ids.push_back(each.id);
      const bool stop_id = std::ranges::count(options_.stop_ids, each.id) > 0;
      const bool stop = stop_id || stop_strings_.completed_by(prompt_, ids);
      each.ends = stop || length == options_.max_new_tokens;
      each.reason = stop_id ? StopReason::kStopId
                    : stop  ? StopReason::kStopString
                            : StopReason::kLength;
    }
    return all;
  }

  /// The best that do not end.
  std::vector<Running> go_on(const std::vector<Candidate>& candidates) const {
    std::vector<Candidate> order = candidates;
    for (Candidate& each : order) each.score += each.ends ? kUnlikely : 0;
    std::ranges::stable_sort(order, std::greater<>(), &Candidate::score);
    std::vector<Running> next;
    for (size_t i = 0; i < std::min(count_, order.size()); ++i) {
      const Running& parent = running_[order[i].beam];
      next.push_back({parent.ids, order[i].score, parent.slot});
      next.back().ids.push_back(order[i].id);
    }
    return next;
  }

  /// Takes new results among those that end, if they are better than the present ones. Only the
  /// best `beams` candidates can be results.
  void finish(const std::vector<Candidate>& candidates, const std::vector<Running>& before,
              int length, bool improvable) {
    const bool full = std::ranges::all_of(finished_, &Finished::is_result);
    const bool closed = !improvable || (full && beams_.end == BeamEnd::kFull);
    for (size_t i = 0; i < std::min(count_, candidates.size()); ++i) {
      const Candidate& each = candidates[i];
      if (!each.ends || closed) continue;
      Beam beam{before[each.beam].ids, each.score / power(length), each.reason};
      beam.ids.push_back(each.id);
      finished_.push_back({std::move(beam), true});
    }
    std::ranges::stable_sort(finished_, std::greater<>(),
                             [](const Finished& each) { return each.beam.score; });
    finished_.resize(count_);
  }

  double power(int length) const {
    return std::pow(static_cast<double>(length), static_cast<double>(beams_.length_penalty));
  }
  /// Of the best running beam.
  double best_possible(int length) const {
    const bool longest = beams_.end == BeamEnd::kNever && beams_.length_penalty > 0;
    return running_[0].score / power(longest ? options_.max_new_tokens : length);
  }

  /// Gives each running beam a slot of its own with its keys and values: that of its parent, or a
  /// copy in a slot that no beam uses.
  void place() {
    std::vector<bool> used(count_, false);
    std::vector<Running*> homeless;
    for (Running& beam : running_) {
      const auto slot = static_cast<size_t>(beam.slot);
      if (used[slot]) homeless.push_back(&beam);
      used[slot] = true;
    }
    const auto lock = model_.backend->exclusive();
    for (Running* beam : homeless) {
      const auto free = static_cast<size_t>(std::ranges::find(used, false) - used.begin());
      const int to = static_cast<int>(free);
      for (int layer = 0; layer < model_.config.layers; ++layer) {
        std::byte* memory = cache_.layer(layer);
        model_.backend->copy(memory + cache_.offset(to), memory + cache_.offset(beam->slot),
                             cache_.sequence_bytes(to));
      }
      cache_.set_length(to, cache_.length(beam->slot));
      beam->slot = to;
      used[free] = true;
    }
  }

  const Model& handle_;
  const ModelState& model_;
  const std::vector<int32_t> prompt_;
  const GenerateOptions& options_;
  const BeamOptions& beams_;
  const LogitsProcessor processor_;
  const StopStrings stop_strings_;
  const std::shared_ptr<const CompiledHooks> hooks_;
  const size_t count_;
  KvCache cache_;
  CaptureCollector collector_;
  std::vector<float> logits_;  ///< [slots, V] of the last pass
  std::vector<Running> running_;
  std::vector<Finished> finished_;  ///< best first
};

}  // namespace

std::vector<Beam> beam_search(const Model& model, std::span<const int32_t> prompt,
                              const GenerateOptions& options, const BeamOptions& beams,
                              const Hooks& hooks) {
  const Batch prompts = {{prompt.begin(), prompt.end()}};
  check_generate_options(options, prompts, model.config());
  return BeamSearch(model, prompt, options, beams, model.compile(at_positions(hooks, prompts)))
      .run();
}

}  // namespace vitrine
