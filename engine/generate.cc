// SPDX-License-Identifier: MIT
#include "vitrine/generate.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/ceil_div.h"
#include "base/check.h"
#include "base/random.h"
#include "engine/compiled_hooks.h"
#include "engine/generate_options.h"
#include "engine/kept_generation.h"
#include "engine/logits_processor.h"
#include "engine/model_state.h"
#include "engine/non_finite_steps.h"
#include "engine/recorded_steps.h"
#include "engine/run_pass.h"
#include "engine/stop_strings.h"
#include "hooks/generation_edits.h"

namespace vitrine {
using namespace internal;
namespace {

// Steps that are left, from which on recording one of them costs less than it saves.
constexpr int kWorthRecording = 3;
constexpr int64_t kCacheTile = 64;

/// Throws Error (user) for a position that no pass of the generation can have: passes read the
/// prompt, then each new token but the last one.
void check_positions(const PlannedSelection& where, const std::string& site, const Batch& prompts,
                     int max_new_tokens, const Config& config) {
  for (size_t s = 0; s < prompts.size(); ++s) {
    if (!where.sequences.empty() &&
        !where.sequences.contain(static_cast<int64_t>(s), std::ssize(prompts)))
      continue;
    const int64_t prompt = std::ssize(prompts[s]);
    const int64_t read = std::min(config.context, prompt + std::max(max_new_tokens - 1, 0));
    const auto check = [&](int64_t position) {
      // A later pass holds its newest token alone, which is -1.
      if (position < read && position >= -prompt) return;
      user_error(
          "position {} requested of '{}' never occurs: sequence {} has {} prompt tokens and {} new "
          "ones that a pass reads: expected {}..{}",
          position, site, s, prompt, read - prompt, -prompt, read - 1);
    };
    for (const auto& range : where.positions.ranges()) {
      check(range.first);
      check(range.last);
    }
  }
}

/// The generation of one batch, step by step.
class Generator {
 public:
  Generator(const Model& model, const Batch& prompts, const GenerateOptions& options,
            const HookPlan& plan)
      : handle_(model),
        model_(state_of(model)),
        prompts_(prompts),
        options_(options),
        processor_(options),
        stop_strings_(options.stop_strings, model),
        hooks_(plan.hooks()),
        memory_(take_memory(plan)),
        plan_(memory_->hooks->forward),
        cache_(memory_->cache),
        result_{} {
    result_.sequences.resize(prompts.size());
    active_.assign(prompts.size(), true);
    begins_.assign(prompts.size(), 0);
  }

  Generation run() {
    Batch next = prompts_;
    leaders_ = leaders();
    for (size_t s = 0; s < next.size(); ++s) {
      if (leaders_[s] != s) next[s].clear();
    }
    result_.eager_because = RecordedSteps::refusal(model_, plan_);
    if (result_.eager_because.empty() && !processor_.needed_by().empty())
      result_.eager_because = processor_.needed_by() + " changes logits on the host";
    if (result_.eager_because.empty() && options_.log_probabilities)
      result_.eager_because = "log_probabilities are kept";
    bool going = true;
    for (int step = 0; going && step < options_.max_new_tokens;) {
      const int left = options_.max_new_tokens - step;
      const bool reads_again =
          std::ranges::any_of(next, [](const auto& tokens) { return tokens.size() > 1; });
      if (step > 0 && left >= kWorthRecording && result_.eager_because.empty() && !reads_again) {
        going = run_recorded(step, next);
        continue;
      }
      const PassLogits logits =
          run_pass(model_, plan_, cache_, next, {.logits = LogitRows::kLast}, collector_);
      if (step == 0) follow_leaders();
      const std::vector<size_t> drawn = active_sequences();
      const std::vector<int32_t> ids = sample(logits, drawn, step);
      if (options_.log_probabilities) keep_log_probabilities(logits, drawn, ids);
      going = accept(drawn, ids, step, next);
      std::iota(leaders_.begin(), leaders_.end(), size_t{0});
      ++step;
    }
    if (options_.max_new_tokens == 0)
      run_pass(model_, plan_, cache_, next, {.logits = LogitRows::kNone}, collector_);
    result_.captures = collector_.finish();
    model_.kept->keep(std::move(memory_));
    return std::move(result_);
  }

 private:
  /// That of the last generation, if this one has the same shape.
  std::unique_ptr<GenerationMemory> take_memory(const HookPlan& plan) const {
    forward_plan(plan, model_).refuse_memory("a generation");
    check_batch(model_, prompts_);
    // A device's caches are whole tiles of positions anyway, and tiles more often have one shape.
    const int64_t tile = model_.backend->records() ? kCacheTile : 1;
    std::vector<int64_t> capacities;
    for (const auto& prompt : prompts_) {
      const int64_t length = std::ssize(prompt) + options_.max_new_tokens;
      capacities.push_back(std::min(model_.config.context, ceil_div(length, tile) * tile));
    }
    std::shared_ptr<const CompiledHooks> hooks = shared_hooks(plan, model_);
    const auto check = [&](const auto& planned) {
      check_positions(planned.where, planned.name, prompts_, options_.max_new_tokens,
                      model_.config);
    };
    if (options_.past_context == PastContext::kSlide && !hooks->forward.captures().empty())
      user_error(
          "'{}' is captured, and its positions change as the window slides: expected no "
          "captures, or `past_context` end",
          hooks->forward.captures()[0].name);
    std::ranges::for_each(hooks->forward.captures(), check);
    std::ranges::for_each(hooks->forward.edits(), check);
    check_room(options_, prompts_, model_.config);
    if (auto kept = model_.kept->take(*hooks, capacities)) return kept;
    return std::unique_ptr<GenerationMemory>(
        new GenerationMemory{std::move(hooks), make_cache(model_, std::move(capacities)), nullptr});
  }

  /// For each sequence the first one with the same prompt, which is read once; itself where hooks
  /// tell sequences apart.
  std::vector<size_t> leaders() const {
    std::vector<size_t> leaders(prompts_.size());
    std::iota(leaders.begin(), leaders.end(), size_t{0});
    const auto apart = [](const PlannedEdit& edit) {
      const Edit::Kind kind = edit.edit.kind();
      return kind == Edit::Kind::kCallback || kind == Edit::Kind::kSource ||
             !edit.where.sequences.empty();
    };
    if (!plan_.captures().empty() || std::ranges::any_of(plan_.edits(), apart)) return leaders;
    std::map<std::vector<int32_t>, size_t> first;
    for (size_t s = 0; s < leaders.size(); ++s)
      leaders[s] = first.try_emplace(prompts_[s], s).first->second;
    return leaders;
  }

  /// Gives each sequence the keys and values of its leader, whose prompt was read.
  void follow_leaders() {
    const auto lock = model_.backend->exclusive();
    for (size_t s = 0; s < leaders_.size(); ++s) {
      if (leaders_[s] == s) continue;
      const int to = static_cast<int>(s), from = static_cast<int>(leaders_[s]);
      for (int layer = 0; layer < model_.config.layers; ++layer) {
        std::byte* memory = cache_.layer(layer);
        model_.backend->copy(memory + cache_.offset(to), memory + cache_.offset(from),
                             cache_.sequence_bytes(to));
      }
      cache_.set_length(to, cache_.length(from));
    }
  }

  /// Steps for the sequences of `next`: the kept ones, which are the first, or others.
  std::shared_ptr<RecordedSteps> steps_for(const Batch& next, int count) {
    std::shared_ptr<RecordedSteps>& first = memory_->steps;
    if (first && first->serve(next, options_.sampling, count)) return first;
    const auto steps =
        std::make_shared<RecordedSteps>(model_, plan_, cache_, next, options_.sampling, count);
    if (!shrunk_) first = steps;
    return steps;
  }

  uint64_t seed(size_t sequence) const {
    const SamplingOptions& s = options_.sampling;
    return s.seeds.empty() ? s.seed : s.seeds[sequence];
  }

  std::vector<size_t> active_sequences() const {
    std::vector<size_t> list;
    for (size_t s = 0; s < active_.size(); ++s) {
      if (active_[s]) list.push_back(s);
    }
    return list;
  }

  /// Takes one chosen token for each of the sequences `drawn` and makes `next` the batch of the
  /// following pass; false when none follows.
  bool accept(const std::vector<size_t>& drawn, std::span<const int32_t> ids, int step,
              Batch& next) {
    bool any = false, keep_going = true;
    for (auto& tokens : next) tokens.clear();
    for (size_t i = 0; i < drawn.size(); ++i) {
      const size_t s = drawn[i];
      Generation::Sequence& sequence = result_.sequences[s];
      if (ids[i] < 0) refuse_step(s);
      sequence.ids.push_back(ids[i]);
      if (keep_going && options_.on_token)
        keep_going = options_.on_token(static_cast<int>(s), ids[i]);
      const bool stop_id = std::ranges::count(options_.stop_ids, ids[i]) > 0;
      const bool stopped = stop_id || stop_strings_.completed_by(prompts_[s], sequence.ids);
      // A token that no pass will read needs no room: the last one of a full context may still be
      // chosen.
      const bool full = cache_.length(static_cast<int>(s)) >= model_.config.context &&
                        step + 1 < options_.max_new_tokens;
      if (full && !stopped && options_.past_context == PastContext::kSlide) {
        next[s] = slide(s);
        any = true;
        continue;
      }
      if (stopped || full) {
        sequence.reason = stop_id   ? StopReason::kStopId
                          : stopped ? StopReason::kStopString
                                    : StopReason::kContext;
        active_[s] = false;
        continue;
      }
      next[s] = {ids[i]};
      any = true;
    }
    if (!keep_going) {
      for (size_t s = 0; s < active_.size(); ++s) {
        if (active_[s]) result_.sequences[s].reason = StopReason::kCallback;
      }
    }
    return any && keep_going && step + 1 < options_.max_new_tokens;
  }

  /// Empties a sequence that fills the context; the tokens that it goes on from.
  std::vector<int32_t> slide(size_t s) {
    cache_.set_length(static_cast<int>(s), 0);
    std::vector<int32_t> all = prompts_[s];
    const std::vector<int32_t>& fresh = result_.sequences[s].ids;
    all.insert(all.end(), fresh.begin(), fresh.end());
    const int64_t kept = std::max<int64_t>(model_.config.context / 2, 1);
    begins_[s] = std::ssize(all) - kept;
    return {all.end() - kept, all.end()};
  }

  /// The sequence's next distribution has a NaN. Its passes again, this time watched.
  [[noreturn]] void refuse_step(size_t s) const {
    std::vector<int32_t> ids = result_.sequences[s].ids;
    std::vector<Batch> passes = {prompts_};
    if (begins_[s] > 0) {  // a window that slid is one pass
      std::vector<int32_t>& window = passes[0][s];
      window.insert(window.end(), ids.begin(), ids.end());
      window.erase(window.begin(), window.begin() + begins_[s]);
      ids.clear();
    }
    for (const int32_t id : ids) {
      passes.emplace_back(prompts_.size());
      passes.back()[s] = {id};
    }
    refuse(find_non_finite(handle_, passes, hooks_),
           fmt::format("the distribution of new token {} of sequence {}",
                       result_.sequences[s].ids.size(), s));
  }

  double uniform(size_t sequence, int step) const {
    return unit_interval(mix64(mix64(seed(sequence)) + static_cast<uint64_t>(step)));
  }

  /// Runs recorded steps from `step` on, until the generation ends or so few sequences are left
  /// that a smaller recording pays; false when nothing follows.
  bool run_recorded(int& step, Batch& next) {
    const std::vector<size_t> rows = active_sequences();
    // The last token of a full context needs no pass, unless the sequence slides then.
    const bool slides = options_.past_context == PastContext::kSlide;
    int64_t room = slides ? model_.config.context : 0;
    for (size_t s : rows) {
      const int64_t own = model_.config.context - cache_.length(static_cast<int>(s));
      room = slides ? std::min(room, own) : std::max(room, own);
    }
    const int most = static_cast<int>(std::min<int64_t>(options_.max_new_tokens - step, room));
    std::vector<double> uniforms;
    for (int i = 0; i < most; ++i) {
      for (size_t s : rows) uniforms.push_back(uniform(s, step + i));
    }
    const std::shared_ptr<RecordedSteps> steps = steps_for(next, most);
    RecordedSteps& recorded = *steps;
    recorded.begin(next, uniforms);
    const bool watched = options_.on_token || !options_.stop_ids.empty() ||
                         !stop_strings_.empty();  // then each token may be the last
    std::vector<int> lasted(active_.size(), 0);
    bool going = true, shrunk = false;
    int done = 0, queued = 0;
    while (going && !shrunk && done < most) {
      // Where tokens are watched, one step more than is read: the device computes it while the host
      // looks at this one's tokens. If none follows, it has computed in vain.
      const int ready = watched ? done + 1 : most;
      for (; queued < std::min(ready + 1, most); ++queued) recorded.step(watched);
      const std::vector<int32_t> tokens = recorded.tokens(done, ready - done);
      for (int i = 0; done < ready && going; ++i, ++done, ++step) {
        const std::vector<size_t> drawn = active_sequences();
        std::vector<int32_t> ids;
        for (size_t r = 0; r < rows.size(); ++r) {
          if (active_[rows[r]]) ids.push_back(tokens[static_cast<size_t>(i) * rows.size() + r]);
        }
        for (size_t s : drawn) {
          cache_.set_length(static_cast<int>(s), cache_.length(static_cast<int>(s)) + 1);
          ++lasted[s];
        }
        going = accept(drawn, ids, step, next);
      }
      shrunk = watched && 2 * active_sequences().size() <= rows.size();
    }
    recorded.collect(done, lasted, collector_);
    shrunk_ = true;
    return going;
  }

  std::vector<int32_t> sample(const PassLogits& logits, const std::vector<size_t>& drawn,
                              int step) {
    const auto lock = model_.backend->exclusive();
    std::vector<double> numbers;
    for (size_t sequence : drawn) numbers.push_back(uniform(sequence, step));
    std::vector<int32_t> ids(drawn.size());
    if (!processor_.needed_by().empty()) {
      const Buffer memory = processed(logits, drawn);
      const Mat rows(memory.f32(), std::ssize(drawn), model_.config.vocab);
      draw(rows, processor_.remaining(), numbers, ids);
      return ids;
    }
    for (size_t i = 0, next; i < drawn.size(); i = next) {  // rows side by side go together
      float* first = last_row(logits, drawn[i]);
      for (next = i + 1; next < drawn.size(); ++next) {
        const auto away = static_cast<int64_t>(next - i) * model_.config.vocab;
        if (last_row(logits, drawn[next]) != first + away) break;
      }
      const Mat rows(first, static_cast<int64_t>(next - i), model_.config.vocab);
      draw(rows, options_.sampling, std::span(numbers).subspan(i, next - i),
           std::span(ids).subspan(i, next - i));
    }
    return ids;
  }

  void keep_log_probabilities(const PassLogits& logits, const std::vector<size_t>& drawn,
                              const std::vector<int32_t>& ids) {
    const auto lock = model_.backend->exclusive();
    const auto count =
        static_cast<size_t>(std::min<int64_t>(*options_.log_probabilities, model_.config.vocab));
    std::vector<int32_t> top_ids(count);
    std::vector<float> top_logits(count);
    for (size_t i = 0; i < drawn.size(); ++i) {
      if (ids[i] < 0) continue;  // it is refused
      float lse = 0, logit = 0;
      int32_t rank = 0;
      model_.backend->logit_stats(
          {.logits = Mat(last_row(logits, drawn[i]), 1, model_.config.vocab),
           .top_k = static_cast<int>(count),
           .top_ids = top_ids.data(),
           .top_logits = top_logits.data(),
           .lse = &lse,
           .watch = std::span(ids).subspan(i, 1),
           .watch_logits = &logit,
           .watch_ranks = &rank});
      Generation::Sequence& sequence = result_.sequences[drawn[i]];
      sequence.log_probabilities.push_back(logit - lse);
      sequence.top_ids.insert(sequence.top_ids.end(), top_ids.begin(), top_ids.end());
      for (const float top : top_logits) sequence.top_log_probabilities.push_back(top - lse);
    }
  }

  /// The logits that follow a sequence; a pass that watches logits has more rows.
  float* last_row(const PassLogits& logits, size_t sequence) const {
    return logits.memory.f32() + (logits.offsets[leaders_[sequence] + 1] - 1) * model_.config.vocab;
  }

  void draw(Mat rows, const SamplingOptions& sampling, std::span<const double> uniforms,
            std::span<int32_t> ids) const {
    model_.backend->sample({.logits = rows,
                            .temperature = sampling.temperature,
                            .top_k = sampling.top_k,
                            .top_p = sampling.top_p,
                            .uniform = uniforms,
                            .ids = ids});
  }

  /// The processed logits of each sequence, [drawn, V] in the backend's memory.
  Buffer processed(const PassLogits& logits, const std::vector<size_t>& drawn) const {
    const auto vocab = static_cast<size_t>(model_.config.vocab);
    const size_t bytes = drawn.size() * vocab * sizeof(float);
    model_.require_memory(bytes, fmt::format("processed logits {}", megabytes(bytes)));
    const bool readable = model_.backend->host_memory();
    Buffer memory = model_.pool->take(bytes);
    const Buffer host = readable ? memory : model_.host_pool->take(bytes);
    for (size_t i = 0; i < drawn.size(); ++i) {
      const std::span<float> row(host.f32() + i * vocab, vocab);
      model_.backend->download(row.data(), last_row(logits, drawn[i]), row.size_bytes());
      processor_.apply(row, prompts_[drawn[i]], result_.sequences[drawn[i]].ids);
    }
    if (!readable) model_.backend->upload(memory.data(), host.data(), bytes);
    return memory;
  }

  const Model& handle_;
  const ModelState& model_;
  const Batch& prompts_;
  const GenerateOptions& options_;
  const LogitsProcessor processor_;
  const StopStrings stop_strings_;
  const Hooks& hooks_;
  std::unique_ptr<GenerationMemory> memory_;
  const Plan& plan_;
  KvCache& cache_;
  std::vector<size_t> leaders_;  ///< whose logits of this pass are a sequence's
  bool shrunk_ = false;          ///< steps that are recorded from here on are of fewer sequences
  CaptureCollector collector_;
  std::vector<bool> active_;
  std::vector<int64_t> begins_;  ///< of each sequence's window, in its tokens
  Generation result_;
};

}  // namespace

Generation generate(const Model& model, const Batch& prompts, const GenerateOptions& options,
                    const Hooks& hooks) {
  if (options.past_context == PastContext::kSlide && limits_tokens(hooks)) {
    user_error(
        "an edit is limited to tokens, whose positions change as the window slides: expected no "
        "such edit, or `past_context` end");
  }
  return generate(model, prompts, options, model.compile(at_positions(hooks, prompts)));
}

Generation generate(const Model& model, const Batch& prompts, const GenerateOptions& options,
                    const HookPlan& plan) {
  check_generate_options(options, prompts, model.config());
  if (prompts.empty()) user_error("missing prompt: expected at least one");
  return Generator(model, prompts, options, plan).run();
}

}  // namespace vitrine
