#include <cstring>

#include "base/check.h"
#include "base/finite.h"
#include "bench/checks.h"
#include "bench/hook_sets.h"
#include "bench/timing.h"
#include "bench/turns.h"
#include "engine/model_state.h"

namespace vitrine::bench {
namespace {

/// One batch with each set of hooks, in turns, so that whatever else the machine does falls on all of them.
class ForwardBench {
 public:
  ForwardBench(const Bench& bench, int batch) : bench_(bench), backend_(*bench.model.state().backend), batch_(batch) {
    for (int s = 0; s < batch; ++s) tokens_.push_back(some_tokens(bench.model.config(), bench.options.prompt, 17 * s));
    what_ = fmt::format("forward {} x {}", batch, bench.options.prompt);
    bench_.step(what_);
    plain_ = last_row(run({}));
    require(!first_non_finite(plain_.data(), DType::kF32, plain_.elements()), "the last token's logits are finite");
    for (const std::string& name : bench.options.hooks) prepare(name);
  }

  void measure() {
    measure_in_turns(bench_, turns_);
    for (const Turn& turn : turns_) bench_.sink.on_row(turn.row);
  }

 private:
  Run run(const Hooks& hooks) const {
    return bench_.model.forward(tokens_, hooks, {.logits = LogitRows::kAll, .residence = Residence::kDevice});
  }
  Tensor last_row(const Run& run) const { return bench_.model.to_host(run.logits(batch_ - 1).slice(bench_.options.prompt - 1)); }

  void prepare(const std::string& name) {
    Turn turn{bench_.row("forward", fmt::format("{} x {} tokens", batch_, bench_.options.prompt)), what_ + ", hooks " + name, {}};
    bench_.step(turn.step);
    const Hooks hooks = hook_set(name);
    turn.row.hooks = name;
    turn.row.unit = "tok/s";
    turn.row.amount = static_cast<double>(batch_ * bench_.options.prompt);
    try {
      const Run checked = run(hooks);
      const Tensor row = last_row(checked);
      require(std::memcmp(row.data(), plain_.data(), plain_.view().bytes()) == 0, "the last token's logits are the same bits with hooks and without");
      turn.row.captured = captured_bytes(checked.captures());
      if (!hooks.empty()) turn.row.against = "none";
      const int repetitions = enough_repetitions(backend_, [&] { run(hooks); });
      turn.seconds = [this, hooks, repetitions](Row&) { return seconds_each(backend_, repetitions, [&] { run(hooks); }); };
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::kUser) throw;
      turn.row.note = error.what();  // it does not fit in memory
    }
    Work work = forward_pass(bench_.model.config(), bench_.model.dtype(), batch_, bench_.options.prompt);
    work.bytes += turn.row.captured;
    turn.row.floor = work.seconds(bench_.best());
    turns_.push_back(std::move(turn));
  }

  const Bench& bench_;
  Backend& backend_;
  int batch_;
  std::string what_;
  Batch tokens_;
  Tensor plain_;
  std::vector<Turn> turns_;
};

}  // namespace

void bench_forward(const Bench& bench) {
  for (const int batch : bench.options.batches) ForwardBench(bench, batch).measure();
}

}  // namespace vitrine::bench
