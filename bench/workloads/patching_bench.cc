// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "bench/measure/checks.h"
#include "bench/measure/timing.h"
#include "bench/measure/turns.h"
#include "engine/model_state.h"
#include "vitrine/analysis/patching.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// A sweep of patches over layers and positions beside what it replaces: a whole run for every
/// cell, in batches of the same size.
class PatchingBench {
 public:
  explicit PatchingBench(const Bench& bench)
      : bench_(bench), backend_(*state_of(bench.model).backend) {
    const Config& config = bench.model.config();
    length_ = std::min<int64_t>(bench.options.prompts.front(), 16);
    clean_ = some_tokens(config, length_);
    corrupt_ = clean_;
    const auto changed = static_cast<size_t>(length_ / 4);
    corrupt_[changed] = static_cast<int32_t>((corrupt_[changed] + 1) % config.vocab);
    options_.metric = {.answer = clean_.front(), .wrong = clean_.back()};
    for (int64_t p = 0; p < length_; ++p) positions_.push_back(p);
  }

  void run() {
    const std::string cells = fmt::format("{} x {}, ", bench_.model.config().layers, length_);
    bench_.step("patching, checks");
    check();
    std::vector<Turn> turns = {
        {row(cells + "whole runs"), "patching, whole runs",
         [this](Row&) { return seconds_each(backend_, 1, [this] { whole_runs(); }); }},
        {row(cells + "sweep"), "patching, a sweep",
         [this](Row&) { return seconds_each(backend_, 1, [this] { swept(); }); }}};
    turns.back().row.against = "whole runs";
    turns.back().row.note =
        fmt::format("{} of {} token-layers computed", work_.computed, work_.naive);
    measure_in_turns(bench_, turns);
    for (const Turn& turn : turns) bench_.on_row(turn.row);
  }

 private:
  Patching swept() const { return patch(bench_.model, clean_, corrupt_, options_); }

  /// [L, T] the metric of the corrupt prompt with one position's resid_pre of the clean one.
  std::vector<double> whole_runs() const {
    const Run clean = bench_.model.forward(clean_, Hooks().capture("blocks.*.hook_resid_pre"),
                                           {.logits = LogitRows::kNone});
    const auto at_once = static_cast<size_t>(std::max<int64_t>(options_.batch_tokens / length_, 1));
    std::vector<double> values;
    for (int layer = 0; layer < bench_.model.config().layers; ++layer) {
      const std::string site = site_name(Site::kResidPre, layer);
      for (size_t first = 0; first < positions_.size(); first += at_once) {
        const size_t count = std::min(at_once, positions_.size() - first);
        Hooks hooks;
        for (size_t s = 0; s < count; ++s) {
          const int64_t position = positions_[first + s];
          const Tensor row = Tensor::from(clean[site].slice(position).f32());
          hooks.edit(site, replace(row),
                     {.positions = {position}, .sequences = {static_cast<int>(s)}});
        }
        const Run run =
            bench_.model.forward(Batch(count, corrupt_), hooks, {.logits = LogitRows::kLast});
        for (size_t s = 0; s < count; ++s)
          values.push_back(options_.metric.of(run.logits(static_cast<int>(s)).f32()));
      }
    }
    return values;
  }

  void check() {
    const Patching found = swept();
    const std::vector<double> whole = whole_runs();
    work_ = found.work;
    require(found.grids.front().values.size() == whole.size(),
            "a sweep has a cell for every layer and position");
    // A GPU may multiply 16-bit weights by another kernel for other numbers of rows.
    const double allowed =
        backend_.host_memory() ? 0.0 : 1e-2 * (1 + std::abs(found.clean - found.corrupt));
    for (size_t i = 0; i < whole.size(); ++i)
      require(std::abs(found.grids.front().values[i] - whole[i]) <= allowed,
              "a cell is what a whole run with its edit gives");
  }

  Row row(const std::string& shape) const {
    Row row = bench_.row("patching", shape);
    row.unit = "cells/s";
    row.amount = static_cast<double>(bench_.model.config().layers * length_);
    const Work work = forward_pass(bench_.model.config(), bench_.model.dtype(),
                                   bench_.model.config().layers * length_, length_, 1);
    row.floor = work.seconds(bench_.best());
    return row;
  }

  const Bench& bench_;
  Backend& backend_;
  int64_t length_;
  std::vector<int32_t> clean_, corrupt_;
  std::vector<int64_t> positions_;
  PatchOptions options_;
  PatchWork work_;
};

}  // namespace

Cases patching_cases(const BenchOptions&) {
  return {{.turns = 2, .measure = [](const Bench& bench) { PatchingBench(bench).run(); }}};
}

}  // namespace vitrine::bench
