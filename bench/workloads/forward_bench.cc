// SPDX-License-Identifier: MIT
#include <cstring>

#include "base/check.h"
#include "base/finite.h"
#include "bench/measure/checks.h"
#include "bench/measure/timing.h"
#include "bench/measure/turns.h"
#include "bench/workloads/hook_sets.h"
#include "engine/model_state.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// Passes over one batch with each set of hooks, in turns, so that whatever else the machine does
/// falls on all of them.
class ForwardBench {
 public:
  /// `logits`: kAll, "forward"; kLast, "prefill".
  ForwardBench(const Bench& bench, LogitRows logits, int batch, int64_t length)
      : bench_(bench),
        backend_(*state_of(bench.model).backend),
        logits_(logits),
        batch_(batch),
        length_(length) {
    for (int s = 0; s < batch; ++s)
      tokens_.push_back(some_tokens(bench.model.config(), length, 17 * s));
    what_ = fmt::format("{} {} x {}", name(), batch, length);
    bench_.step(what_);
    plain_ = last_row(run({}, logits_));
    require(!first_non_finite(plain_.data(), DType::kF32, plain_.elements()),
            "the last token's logits are finite");
    for (const std::string& hooks : bench.options.hooks) prepare(hooks);
  }

  void measure() {
    measure_in_turns(bench_, turns_);
    for (const Turn& turn : turns_) bench_.on_row(turn.row);
  }

 private:
  const char* name() const { return logits_ == LogitRows::kAll ? "forward" : "prefill"; }
  Run run(const Hooks& hooks, LogitRows logits) const {
    return bench_.model.forward(tokens_, hooks,
                                {.logits = logits, .residence = Residence::kDevice});
  }
  Tensor last_row(const Run& run) const {
    const TensorView logits = run.logits(batch_ - 1);
    return bench_.model.to_host(logits.slice(logits.shape()[0] - 1));
  }
  static bool same(const Tensor& a, const Tensor& b) {
    return std::memcmp(a.data(), b.data(), a.view().bytes()) == 0;
  }

  void check(const std::string& set, const Tensor& row) const {
    if (set != kEditSet) {
      require(same(row, plain_),
              "the last token's logits are the same bits with hooks and without");
      return;
    }
    require(!first_non_finite(row.data(), DType::kF32, row.elements()),
            "the last token's logits are finite with edits");
    require(!same(row, plain_), "edits change the last token's logits");
    const LogitRows other = logits_ == LogitRows::kAll ? LogitRows::kLast : LogitRows::kAll;
    require(same(row, last_row(run(hook_set(set, bench_.model.config()), other))),
            "edits change them alike, for any requested logits");
    require(same(plain_, last_row(run(edit_set(bench_.model.config(), 0), logits_))),
            "edits that add zeros change nothing");
  }

  void prepare(const std::string& set) {
    Turn turn{bench_.row(name(), fmt::format("{} x {} tokens", batch_, length_)),
              what_ + ", hooks " + set,
              {}};
    bench_.step(turn.step);
    const Hooks hooks = hook_set(set, bench_.model.config());
    turn.row.hooks = set;
    turn.row.unit = "tok/s";
    turn.row.amount = static_cast<double>(batch_ * length_);
    try {
      const Run checked = run(hooks, logits_);
      check(set, last_row(checked));
      turn.row.captured = captured_bytes(checked.captures());
      if (!hooks.empty()) turn.row.against = "none";
      const int repetitions = enough_repetitions(backend_, [&] { run(hooks, logits_); });
      turn.seconds = [this, hooks, repetitions](Row&) {
        return seconds_each(backend_, repetitions, [&] { run(hooks, logits_); });
      };
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::kUser) throw;
      turn.row.note = error.what();  // it does not fit in memory
    }
    Work work = forward_pass(bench_.model.config(), bench_.model.dtype(), batch_, length_,
                             logits_ == LogitRows::kAll ? -1 : 1);
    work.bytes += turn.row.captured;
    turn.row.floor = work.seconds(bench_.best());
    turns_.push_back(std::move(turn));
  }

  const Bench& bench_;
  Backend& backend_;
  LogitRows logits_;
  int batch_;
  int64_t length_;
  std::string what_;
  Batch tokens_;
  Tensor plain_;
  std::vector<Turn> turns_;
};

Cases pass_cases(const BenchOptions& options, LogitRows logits) {
  const size_t sets = options.hooks.size();
  Cases cases;
  for (const int64_t length : options.prompts) {
    for (const int batch : options.batches) {
      const auto measure = [=](const Bench& bench) {
        ForwardBench(bench, logits, batch, length).measure();
      };
      cases.push_back({.checks = 1 + sets, .turns = sets, .measure = measure});
    }
  }
  return cases;
}

}  // namespace

Cases forward_cases(const BenchOptions& options) { return pass_cases(options, LogitRows::kAll); }
Cases prefill_cases(const BenchOptions& options) { return pass_cases(options, LogitRows::kLast); }

}  // namespace vitrine::bench
