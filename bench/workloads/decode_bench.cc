// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/check.h"
#include "bench/measure/checks.h"
#include "bench/measure/timing.h"
#include "bench/measure/turns.h"
#include "bench/workloads/hook_sets.h"
#include "engine/model_state.h"
#include "vitrine/generate.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// Greedy generation of a batch with each set of hooks, in turns. A step takes what N + 1 tokens
/// take longer than one, by N.
class DecodeBench {
 public:
  DecodeBench(const Bench& bench, int batch, int64_t prompt, int64_t tokens)
      : bench_(bench),
        backend_(*state_of(bench.model).backend),
        batch_(batch),
        prompt_(prompt),
        tokens_(tokens) {
    for (int s = 0; s < batch; ++s)
      prompts_.push_back(some_tokens(bench.model.config(), prompt, 17 * s));
    shape_ = fmt::format("batch {} after {}", batch, prompt);
    if (bench.options.tokens.size() > 1) shape_ += fmt::format(", {} tokens", tokens);
    what_ = "decode " + shape_;
    bench_.step(what_);
    plain_ = run(all(), {});
    for (const int s : {0, batch - 1}) check_by_recomputing(static_cast<size_t>(s), plain_, {});
    for (const std::string& name : bench.options.hooks) prepare(name);
  }

  void measure() {
    measure_in_turns(bench_, turns_);
    for (Turn& turn : turns_) {
      Row& row = turn.row;
      if (!row.seconds.empty() && row.seconds.median() <= 0) {
        row.note = "below the noise: one token took longer than all; use more --tokens";
        row.seconds = row.ratio = row.recorded = row.loaded = row.loaded_ratio = {};
      }
      bench_.on_row(row);
    }
  }

 private:
  int all() const { return static_cast<int>(tokens_) + 1; }
  Generation run(int tokens, const Hooks& hooks) const {
    return generate(bench_.model, prompts_, {.max_new_tokens = tokens}, hooks);
  }

  double seconds_of(int64_t tokens, const Hooks& hooks) const {
    return seconds_each(backend_, 1, [&] { run(static_cast<int>(tokens), hooks); });
  }

  /// The recording of a step is made anew for each generation and counts; what a step takes without
  /// it is noted beside.
  double measure_step(const Hooks& hooks, bool recorded, Row& row) const {
    const int64_t n = tokens_, half = n / 2;
    const double first = seconds_of(1, hooks), whole = seconds_of(n + 1, hooks);
    if (recorded && half >= 4)
      row.recorded.add((whole - seconds_of(half + 1, hooks)) / static_cast<double>(n - half));
    return (whole - first) / static_cast<double>(n);
  }

  void check_by_recomputing(size_t sequence, const Generation& generation,
                            const Hooks& edits) const {
    constexpr size_t kFirst = 3;
    const std::vector<int32_t>& found = generation.sequences[sequence].ids;
    std::vector<int32_t> ids = prompts_[sequence];
    for (size_t i = 0; i < std::min(kFirst, found.size()); ++i) {
      const Run whole = bench_.model.forward(ids, edits, {.logits = LogitRows::kLast});
      const auto logits = whole.logits().f32();
      const auto best =
          static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      require(best == found[i], "decoded tokens are those of a pass over everything");
      ids.push_back(found[i]);
    }
  }

  bool same_tokens(const Generation& other) const {
    return std::equal(plain_.sequences.begin(), plain_.sequences.end(), other.sequences.begin(),
                      other.sequences.end(),
                      [](const auto& a, const auto& b) { return a.ids == b.ids; });
  }

  void prepare(const std::string& name) {
    Turn turn{bench_.row("decode", shape_), what_ + ", hooks " + name, {}};
    bench_.step(turn.step);
    const auto tokens = static_cast<double>(tokens_);
    const Hooks hooks = hook_set(name, bench_.model.config());
    turn.row.hooks = name;
    turn.row.unit = "tok/s";
    turn.row.amount = batch_;
    try {
      const Generation checked = run(all(), hooks);
      if (name == kEditSet)
        check_by_recomputing(static_cast<size_t>(batch_ - 1), checked, hooks);
      else
        require(same_tokens(checked), "decoded tokens are the same with hooks and without");
      const bool recorded = checked.eager_because.empty();
      if (backend_.records() && !recorded) turn.row.note = "not recorded: " + checked.eager_because;
      if (!hooks.empty()) {
        turn.row.against = "none";
        if (name != kEditSet)
          turn.row.captured =
              (captured_bytes(*checked.captures) - captured_bytes(*run(1, hooks).captures)) /
              tokens;
      }
      turn.seconds = [this, hooks, recorded](Row& row) {
        return measure_step(hooks, recorded, row);
      };
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::kUser) throw;
      turn.row.note = error.what();  // it does not fit in memory
    }
    // The k-th step after the first token finds prompt + k positions in the cache, k from 0 on.
    const double past = static_cast<double>(prompt_) + (tokens - 1) / 2;
    Work work = decode_step(bench_.model.config(), bench_.model.dtype(),
                            state_of(bench_.model).activation_dtype(), batch_, past);
    work.bytes += turn.row.captured;
    turn.row.floor = work.seconds(bench_.best());
    turns_.push_back(std::move(turn));
  }

  const Bench& bench_;
  Backend& backend_;
  int batch_;
  int64_t prompt_, tokens_;
  std::string shape_, what_;
  Batch prompts_;
  Generation plain_;
  std::vector<Turn> turns_;
};

}  // namespace

Cases decode_cases(const BenchOptions& options) {
  const size_t sets = options.hooks.size();
  Cases cases;
  for (const int64_t prompt : options.decode_prompts) {
    for (const int64_t tokens : options.tokens) {
      for (const int batch : options.decode_batches) {
        const auto measure = [=](const Bench& bench) {
          DecodeBench(bench, batch, prompt, tokens).measure();
        };
        cases.push_back({.checks = 1 + sets, .turns = sets, .measure = measure});
      }
    }
  }
  return cases;
}

}  // namespace vitrine::bench
