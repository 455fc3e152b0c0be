// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "bench/measure/checks.h"
#include "bench/measure/turns.h"
#include "engine/model_state.h"
#include "vitrine/generate.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// A whole sampled generation, prompt included, as somebody waits for it.
class GenerateBench {
 public:
  GenerateBench(const Bench& bench, int batch, int64_t prompt, int64_t tokens)
      : bench_(bench), batch_(batch), prompt_(prompt), tokens_(tokens) {
    for (int s = 0; s < batch; ++s) {
      prompts_.push_back(some_tokens(bench.model.config(), prompt, 17 * s));
      seeds_.push_back(static_cast<uint64_t>(s));
    }
  }

  void measure() {
    Row row =
        bench_.row("generate", fmt::format("batch {}, {} + {} tokens", batch_, prompt_, tokens_));
    const std::string step = "generate, " + row.shape;
    bench_.step(step);
    check();
    row.unit = "tok/s";
    row.amount = static_cast<double>(batch_ * tokens_);
    row.floor = floor();
    measure_alone(bench_, std::move(row), step, [this] { run(prompts_, seeds_); });
  }

 private:
  Generation run(const Batch& prompts, const std::vector<uint64_t>& seeds) const {
    const SamplingOptions sampling{.temperature = 1, .top_k = 50, .seeds = seeds};
    return generate(bench_.model, prompts,
                    {.max_new_tokens = static_cast<int>(tokens_), .sampling = sampling});
  }

  /// The requested number of tokens, and the last sequence's the same as alone: its draws depend on
  /// its seed and step.
  void check() const {
    const Generation all = run(prompts_, seeds_), alone = run({prompts_.back()}, {seeds_.back()});
    for (const auto& sequence : all.sequences)
      require(std::ssize(sequence.ids) == tokens_,
              "a generation has the requested number of tokens");
    require(alone.sequences.front().ids == all.sequences.back().ids,
            "a sampled sequence is the same alone as among others");
  }

  /// A pass over the prompts gives the first tokens, a decoded step each of the others.
  double floor() const {
    const Config& config = bench_.model.config();
    const double steps = static_cast<double>(tokens_ - 1),
                 past = static_cast<double>(prompt_) + (steps - 1) / 2;
    const Work first = forward_pass(config, bench_.model.dtype(), batch_, prompt_, 1);
    const Work each = decode_step(config, bench_.model.dtype(),
                                  state_of(bench_.model).activation_dtype(), batch_, past);
    return first.seconds(bench_.best()) + steps * each.seconds(bench_.best());
  }

  const Bench& bench_;
  int batch_;
  int64_t prompt_, tokens_;
  Batch prompts_;
  std::vector<uint64_t> seeds_;
};

}  // namespace

Cases generate_cases(const BenchOptions& options) {
  Cases cases;
  for (const int64_t prompt : options.decode_prompts) {
    for (const int64_t tokens : options.tokens) {
      for (const int batch : options.decode_batches) {
        cases.push_back({.measure = [=](const Bench& bench) {
          GenerateBench(bench, batch, prompt, tokens).measure();
        }});
      }
    }
  }
  return cases;
}

}  // namespace vitrine::bench
