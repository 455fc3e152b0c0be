// SPDX-License-Identifier: MIT
#include <cstring>
#include <optional>

#include "base/check.h"
#include "bench/measure/checks.h"
#include "bench/measure/scratch.h"
#include "bench/measure/turns.h"
#include "engine/model_state.h"
#include "vitrine/checkpoint/random_checkpoint.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// From a checkpoint on the disk, which the system has in its cache, to the logits of the first new
/// token.
class LoadBench {
 public:
  explicit LoadBench(const Bench& bench)
      : bench_(bench),
        ids_(some_tokens(bench.model.config(), bench.options.decode_prompts.front())) {
    how_ = {.device = bench.device, .dtype = bench.model.dtype(), .threads = bench.rates.threads};
    path_ = bench.name;
    if (!bench.random) return;
    scratch_.emplace(bench.options.scratch);
    path_ = (scratch_->path() / "model").string();
  }

  void measure() {
    Row row = bench_.row("load", fmt::format("and {} tokens", ids_.size()));
    const std::string step = "load";
    bench_.step(step);
    try {
      // In float32, as GPT-2 was published: then the weights are rounded once, as those in memory
      // were.
      if (bench_.random)
        write_random_checkpoint(path_, {.config = bench_.model.config(),
                                        .seed = bench_.options.seed,
                                        .init = RandomInit::kWide});
      const Run here = forward(bench_.model), there = forward(Model::load(path_, how_));
      require(std::memcmp(here.logits().data(), there.logits().data(), here.logits().bytes()) == 0,
              "a loaded model's logits are those of the model in memory");
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::kUser) throw;
      row.note = error.what();  // not enough disk space, or memory for a second copy
    }
    const double bytes = static_cast<double>(bench_.model.weight_bytes());
    row.unit = "GB/s";
    row.amount = bytes * 1e-9;
    // The weights are put in memory, and read by the pass. What the file's own bytes cost beside is
    // not counted.
    const Work pass =
        forward_pass(bench_.model.config(), bench_.model.dtype(), 1, std::ssize(ids_), 1);
    row.floor = bytes / bench_.best().bytes + pass.seconds(bench_.best());
    if (!row.note.empty()) return bench_.on_row(std::move(row));
    measure_alone(bench_, std::move(row), step, [this] { forward(Model::load(path_, how_)); });
  }

 private:
  Run forward(const Model& model) const {
    return model.forward(ids_, {}, {.logits = LogitRows::kLast});
  }

  const Bench& bench_;
  std::vector<int32_t> ids_;
  ModelOptions how_;
  std::string path_;
  std::optional<Scratch> scratch_;
};

}  // namespace

Cases load_cases(const BenchOptions&) {
  return {{.measure = [](const Bench& bench) { LoadBench(bench).measure(); }}};
}

}  // namespace vitrine::bench
