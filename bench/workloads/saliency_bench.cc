// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "bench/measure/checks.h"
#include "bench/measure/timing.h"
#include "bench/measure/turns.h"
#include "engine/model_state.h"
#include "vitrine/analysis/saliency.h"
#include "vitrine/gradients.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// The gradient of one logit with respect to all embeddings (what Grad x Input needs), beside a
/// forward pass that ends with the same logits, in turns.
class SaliencyBench {
 public:
  SaliencyBench(const Bench& bench, int batch, int64_t length)
      : bench_(bench), backend_(*state_of(bench.model).backend), batch_(batch), length_(length) {
    for (int s = 0; s < batch; ++s)
      tokens_.push_back(some_tokens(bench.model.config(), length, 17 * s));
    hooks_.gradient("hook_embed");
    bench_.step(what("checks"));
    check();
    add("forward", 0, [this] {
      bench_.model.forward(tokens_, {},
                           {.logits = LogitRows::kLast, .residence = Residence::kDevice});
    });
    add("Grad x Input", 1, [this] { run(KeepPolicy::kAll); });
    turns_.back().row.note = kept_note(KeepPolicy::kAll);
    add("of residuals", 1, [this] { run(KeepPolicy::kResiduals); });
    turns_.back().row.note = kept_note(KeepPolicy::kResiduals);
    if (batch > 1) return;
    check_completeness();
    add(fmt::format("IG {} points", kPoints), kPoints, [this] { integrate(); });
    turns_.back().row.note = "the ratio is a point's";
  }

  void measure() {
    measure_in_turns(bench_, turns_);
    for (const Turn& turn : turns_) bench_.on_row(turn.row);
  }

 private:
  static constexpr int kPoints = 8;

  std::string what(const std::string& name) const {
    return fmt::format("saliency {} x {}, {}", batch_, length_, name);
  }
  Backward run(KeepPolicy keep) const {
    return backward(bench_.model, tokens_, {target()}, hooks_, {.keep = keep});
  }
  Target target() const { return target::logit(tokens_.front().front()); }

  /// Both ways of keeping give the same bits; and a small step along a direction changes the logit
  /// by their product.
  void check() const {
    const Backward all = run(KeepPolicy::kAll), some = run(KeepPolicy::kResiduals);
    for (int s = 0; s < batch_; ++s) {
      const TensorView a = all.gradient("hook_embed", s), b = some.gradient("hook_embed", s);
      require(std::memcmp(a.data(), b.data(), a.bytes()) == 0,
              "gradients are the same bits whatever is kept");
    }
    if (bench_.model.dtype() != DType::kF32) return;  // 16 bits leave no room for a difference
    const std::span<const float> gradient = all.gradient("hook_embed").f32();
    double length = 0;
    for (float g : gradient) length += static_cast<double>(g) * g;
    constexpr double kStep = 0.02;  // of a logit, at first order
    std::vector<float> direction(gradient.begin(), gradient.end());
    for (float& x : direction) x = static_cast<float>(kStep / length * x);
    const Tensor step = Tensor::from(direction);
    std::vector<int64_t> positions(tokens_.front().size());
    for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int64_t>(i);
    const auto moved = [&](float sign) {
      Tensor operand = Tensor::from(step.f32());
      for (float& x : operand.f32()) x *= sign;
      const Run run = bench_.model.forward(
          tokens_.front(),
          Hooks().edit("hook_embed", vitrine::add(operand), {.positions = positions}),
          {.logits = LogitRows::kLast});
      return static_cast<double>(run.logits().f32()[static_cast<size_t>(tokens_.front().front())]);
    };
    require(std::abs((moved(1) - moved(-1)) / (2 * kStep) - 1) < 0.05,
            "the gradient is the slope that a small step finds");
  }

  std::string kept_note(KeepPolicy keep) const {
    return fmt::format("{} kept from pass to pass", megabytes(run(keep).kept_bytes));
  }

  Saliency integrate() const {
    SaliencyOptions options{.method = SaliencyMethod::kIntegratedGradients,
                            .target = tokens_.front().front()};
    options.integrated.steps = kPoints;
    return saliency(bench_.model, tokens_.front(), options);
  }
  void check_completeness() const {
    const Saliency found = integrate();
    double sum = 0;
    for (double score : found.scores) sum += score;
    const Completeness& completeness = *found.steps.front().completeness;
    const double change = found.steps.front().value - completeness.baseline_value;
    require(std::abs(std::abs(sum - change) - completeness.gap) <= 1e-6 * (1 + std::abs(change)),
            "the completeness gap is what the scores leave");
  }

  /// `passes`: forward and backward ones; 0: a forward pass alone.
  void add(const std::string& name, int passes, std::function<void()> work) {
    Turn turn{bench_.row("saliency", fmt::format("{} x {} {}", batch_, length_, name)),
              what(name),
              {},
              static_cast<double>(std::max(passes, 1))};
    const int repetitions = enough_repetitions(backend_, work);
    turn.seconds = [this, work = std::move(work), repetitions](Row&) {
      return seconds_each(backend_, repetitions, work);
    };
    turn.row.unit = "tok/s";
    turn.row.amount = turn.share * static_cast<double>(batch_ * length_);
    turn.row.against = turns_.empty() ? "" : "forward";
    Work work_done = forward_pass(bench_.model.config(), bench_.model.dtype(), batch_, length_, 1);
    if (!turns_.empty())
      work_done = work_done +
                  backward_pass(bench_.model.config(), bench_.model.dtype(), batch_, length_, 1);
    turn.row.floor = turn.share * work_done.seconds(bench_.best());
    turns_.push_back(std::move(turn));
  }

  const Bench& bench_;
  Backend& backend_;
  int batch_;
  int64_t length_;
  Batch tokens_;
  Hooks hooks_;
  std::vector<Turn> turns_;
};

}  // namespace

Cases saliency_cases(const BenchOptions& options) {
  Cases cases;
  for (const int64_t length : options.prompts) {
    for (const int batch : options.batches) {
      const auto measure = [=](const Bench& bench) {
        SaliencyBench(bench, batch, length).measure();
      };
      cases.push_back({.turns = batch > 1 ? size_t{3} : size_t{4}, .measure = measure});
    }
  }
  return cases;
}

}  // namespace vitrine::bench
