// SPDX-License-Identifier: MIT
#include <cstring>

#include "base/finite.h"
#include "bench/engine_bench.h"
#include "bench/measure/ceilings.h"
#include "bench/measure/checks.h"
#include "bench/measure/timing.h"
#include "bench/open_blas.h"
#include "bench/workloads/hook_sets.h"
#include "vitrine/hooks.h"
#include "vitrine/run.h"

namespace vitrine::bench {
using namespace internal;
namespace {

bool finite(const TensorView& logits) {
  return !first_non_finite(logits.data(), logits.dtype(), logits.elements());
}

bool same_bits(const TensorView& a, const TensorView& b) {
  return a.shape() == b.shape() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

// The last row of `all` is the only row of `last`.
bool last_row_same_bits(const TensorView& all, const TensorView& last) {
  return std::memcmp(all.slice(all.shape()[0] - 1).data(), last.data(), last.bytes()) == 0;
}

template <typename F>
double seconds(const F& f) {
  const double start = now();
  f();
  return now() - start;
}

// Runs `a` and `b` in turns, so that whatever else the machine does falls on both; the order
// changes with `turn`.
template <typename A, typename B>
std::pair<double, double> in_turns(int64_t turn, const A& a, const B& b) {
  if (turn % 2) {
    const double second = seconds(b);
    return {seconds(a), second};
  }
  const double first = seconds(a);
  return {first, seconds(b)};
}

class EngineBench {
 public:
  explicit EngineBench(const EngineBenchOptions& options)
      : options_(options),
        model_(
            Model::random(options.config, 1,
                          {.device = "cpu", .dtype = options.dtype, .threads = options.threads})),
        ceilings_(options.threads, std::min<size_t>(model_.weight_bytes(), size_t{1} << 30)) {
    result_.options = options;
    result_.device = model_.device_description();
    result_.weight_bytes = static_cast<double>(model_.weight_bytes());
    const auto& c = options.config;
    const double d = static_cast<double>(c.width), layers = c.layers,
                 inner = static_cast<double>(c.inner);
    const double vocab = static_cast<double>(c.vocab), tokens = static_cast<double>(options.prompt);
    const double matrices = layers * (4 * d * d + 2 * d * inner);
    const double vectors =
        layers * (9 * d + inner) + 2 * d;  // biases and layernorms, always float32
    const double past =
        static_cast<double>(options.past) + 0.5 * static_cast<double>(options.steps);
    result_.decode_bytes = static_cast<double>(dtype_size(options.dtype)) * (matrices + vocab * d) +
                           4 * vectors + 4 * 2 * past * layers * d;
    // Each token multiplies every matrix once, and its query and weights meet all keys and values
    // up to itself.
    result_.prefill_operations =
        2 * tokens * matrices + layers * 2 * tokens * (tokens + 1) * d + 2 * vocab * d;
  }

  EngineBenchResult run() {
    for (int round = -1; round < options_.rounds; ++round) {  // round -1 warms up
      decode(round);
      prefill(round);
      if (round < 3) everything(round);
    }
    return result_;
  }

 private:
  static void keep(int round, Samples& samples, double value) {
    if (round >= 0) samples.add(value);
  }

  void decode(int round) {
    const auto prompt = some_tokens(options_.config, options_.past);
    const auto next = some_tokens(options_.config, options_.steps, options_.past);
    const Hooks residual = hook_set("residual", options_.config),
                all = hook_set("everything", options_.config);
    Session plain = model_.session(), watched = model_.session(), fully = model_.session();
    for (Session* session : {&plain, &watched, &fully})
      session->forward({prompt}, {}, {LogitRows::kNone});
    Samples times;
    const double read_before = ceilings_.read_bandwidth();
    Run last;
    for (size_t i = 0; i < next.size(); ++i) {
      const Batch token = {{next[i]}};
      Run with, most;
      const auto [off, on] = in_turns(
          static_cast<int64_t>(i), [&] { last = plain.forward(token, {}, {LogitRows::kLast}); },
          [&] { with = watched.forward(token, residual, {LogitRows::kLast}); });
      times.add(off);
      keep(round, result_.decode, off);
      keep(round, result_.decode_residual, on / off);
      require(same_bits(last.logits(), with.logits()),
              "a decoded token's logits with the residual stream captured");
      const double everything =
          seconds([&] { most = fully.forward(token, all, {LogitRows::kLast}); });
      keep(round, result_.decode_all, everything / off);
      require(same_bits(last.logits(), most.logits()),
              "a decoded token's logits with every site captured");
    }
    // Before and after: the better of the two is what the machine could do in this round.
    const double read = std::max(read_before, ceilings_.read_bandwidth());
    keep(round, result_.read, read);
    keep(round, result_.write, ceilings_.write_bandwidth());
    keep(round, result_.decode_of_read, result_.decode_bytes / times.median() * 1e-9 / read);
    if (round >= 0) return;
    std::vector<int32_t> whole = prompt;
    whole.insert(whole.end(), next.begin(), next.end());
    require(finite(last.logits()), "finite logits");
    require(same_bits(last.logits(), model_.forward(whole, {}, {LogitRows::kLast}).logits()),
            "decode equals one pass over everything");
  }

  void prefill(int round) {
    const auto prompt = some_tokens(options_.config, options_.prompt);
    const Hooks residual = hook_set("residual", options_.config);
    Run plain, watched;
    const auto [off, on] = in_turns(
        round + 1, [&] { plain = model_.forward(prompt, {}, {LogitRows::kLast}); },
        [&] { watched = model_.forward(prompt, residual, {LogitRows::kLast}); });
    require(finite(plain.logits()), "finite logits");
    require(same_bits(plain.logits(), watched.logits()),
            "logits with the residual stream captured");
    keep(round, result_.prefill, off);
    keep(round, result_.prefill_residual, on / off);
    const double rate = result_.prefill_operations / off * 1e-9;
    const double fma = ceilings_.fma_peak();
    keep(round, result_.fma, fma);
    keep(round, result_.prefill_of_fma, rate / fma);
    if (!blas_.found()) return;
    const auto& c = options_.config;
    const double sgemm = blas_.layer_rate(options_.threads, static_cast<int>(options_.prompt),
                                          static_cast<int>(c.width), static_cast<int>(c.inner));
    keep(round, result_.sgemm, sgemm);
    keep(round, result_.prefill_of_sgemm, rate / sgemm);
  }

  void everything(int round) {
    const auto prompt = some_tokens(options_.config, options_.prompt);
    const Hooks all = hook_set("everything", options_.config);
    Run plain, watched;
    const auto [off, on] = in_turns(
        round + 1, [&] { plain = model_.forward(prompt); },
        [&] { watched = model_.forward(prompt, all); });
    require(same_bits(plain.logits(), watched.logits()), "logits with every site captured");
    require(
        last_row_same_bits(plain.logits(), model_.forward(prompt, {}, {LogitRows::kLast}).logits()),
        "the last row alone");
    keep(round, result_.prefill_logits, off);
    keep(round, result_.prefill_all, on / off);
    result_.all_bytes = captured_bytes(watched.captures());
  }

  EngineBenchOptions options_;
  Model model_;
  Ceilings ceilings_;
  OpenBlas blas_;
  EngineBenchResult result_;
};

}  // namespace

EngineBenchResult run_engine_bench(const EngineBenchOptions& options) {
  return EngineBench(options).run();
}

}  // namespace vitrine::bench
