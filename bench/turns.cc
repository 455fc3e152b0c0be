#include "bench/turns.h"

namespace vitrine::bench {

void measure_in_turns(const Bench& bench, std::vector<Turn>& turns) {
  for (int repeat = 0; repeat < bench.options.repeat; ++repeat) {
    double reference = 0;
    for (Turn& turn : turns) {
      if (!turn.seconds) continue;
      bench.step(turn.step);
      const double seconds = turn.seconds(turn.row);
      turn.row.seconds.add(seconds);
      if (turn.row.against.empty()) reference = seconds;
      else if (reference > 0) turn.row.ratio.add(seconds / turn.share / reference);
    }
  }
}

}  // namespace vitrine::bench
