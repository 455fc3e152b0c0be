// SPDX-License-Identifier: MIT
#include "bench/measure/turns.h"

#include "bench/measure/timing.h"
#include "engine/model_state.h"

namespace vitrine::bench {
using namespace internal;

double measure_once(const Bench& bench, Row& row, const std::function<double()>& seconds) {
  if (bench.load != nullptr) bench.load->stop();
  const double quiet = seconds();
  row.seconds.add(quiet);
  if (bench.load == nullptr) return quiet;
  constexpr double kSpan = 0.5;
  const Samples recorded = row.recorded;  // stays quiet, too
  bench.load->go_on();
  double sum = 0;
  int count = 0;
  for (const double start = now(); count == 0 || now() - start < kSpan; ++count) sum += seconds();
  bench.load->stop();
  row.recorded = recorded;
  row.loaded.add(sum / count);
  if (quiet > 0) row.loaded_ratio.add(sum / count / quiet);
  return quiet;
}

void measure_in_turns(const Bench& bench, std::vector<Turn>& turns) {
  for (int repeat = 0; repeat < bench.options.repeat; ++repeat) {
    double reference = 0;
    for (Turn& turn : turns) {
      if (!turn.seconds) continue;
      bench.step(turn.step);
      const double seconds =
          measure_once(bench, turn.row, [&turn] { return turn.seconds(turn.row); });
      if (turn.row.against.empty())
        reference = seconds;
      else if (reference > 0)
        turn.row.ratio.add(seconds / turn.share / reference);
    }
  }
}

void measure_alone(const Bench& bench, Row row, const std::string& step,
                   const std::function<void()>& work) {
  Backend& backend = *state_of(bench.model).backend;
  const int repetitions = enough_repetitions(backend, work);
  for (int turn = 0; turn < bench.options.repeat; ++turn) {
    bench.step(step);
    measure_once(bench, row, [&] { return seconds_each(backend, repetitions, work); });
  }
  bench.on_row(std::move(row));
}

}  // namespace vitrine::bench
