// SPDX-License-Identifier: MIT
#include "bench/measure/turns.h"

#include "bench/measure/timing.h"
#include "engine/model_state.h"

namespace vitrine::bench {
using namespace internal;

void measure_in_turns(const Bench& bench, std::vector<Turn>& turns) {
  for (int repeat = 0; repeat < bench.options.repeat; ++repeat) {
    double reference = 0;
    for (Turn& turn : turns) {
      if (!turn.seconds) continue;
      bench.step(turn.step);
      const double seconds = turn.seconds(turn.row);
      turn.row.seconds.add(seconds);
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
    row.seconds.add(seconds_each(backend, repetitions, work));
  }
  bench.on_row(std::move(row));
}

}  // namespace vitrine::bench
