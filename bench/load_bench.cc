#include <cstring>
#include <optional>

#include "base/atomic_file.h"
#include "base/check.h"
#include "bench/checks.h"
#include "bench/scratch.h"
#include "bench/turns.h"
#include "engine/model_state.h"
#include "engine/random_weights.h"
#include "vitrine/safetensors.h"

namespace vitrine::bench {
namespace {

/// From a checkpoint on the disk, which the system has in its cache, to the logits of the first new token.
class LoadBench {
 public:
  explicit LoadBench(const Bench& bench) : bench_(bench), ids_(some_tokens(bench.model.config(), bench.options.decode_prompts.front())) {
    how_ = {.device = bench.device, .dtype = bench.model.dtype(), .threads = bench.rates.threads};
    path_ = bench.name;
    if (!bench.random) return;
    scratch_.emplace(bench.options.scratch);
    path_ = scratch_->path().string();
    write_checkpoint();
  }

  void measure() {
    Row row = bench_.row("load", fmt::format("and {} tokens", ids_.size()));
    const std::string step = "load";
    bench_.step(step);
    try {
      const Run here = forward(bench_.model), there = forward(Model::load(path_, how_));
      require(std::memcmp(here.logits().data(), there.logits().data(), here.logits().bytes()) == 0, "a loaded model's logits are those of the model in memory");
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::kUser) throw;
      row.note = error.what();  // a second copy does not fit in memory
    }
    const double bytes = static_cast<double>(bench_.model.weight_bytes());
    row.unit = "GB/s";
    row.amount = bytes * 1e-9;
    // Weights are read from the file and read again by the pass; where they are put costs a write, which is not counted.
    const Work pass = forward_pass(bench_.model.config(), bench_.model.dtype(), 1, std::ssize(ids_), 1);
    row.floor = bytes / bench_.best().bytes + pass.seconds(bench_.best());
    if (!row.note.empty()) return bench_.on_row(std::move(row));
    measure_alone(bench_, std::move(row), step, [this] { forward(Model::load(path_, how_)); });
  }

 private:
  Run forward(const Model& model) const { return model.forward(ids_, {}, {.logits = LogitRows::kLast}); }

  /// As Hugging Face lays one out, stored as the model in memory is.
  void write_checkpoint() const {
    const Config& c = bench_.model.config();
    const Json config = {{"model_type", "gpt2"}, {"n_layer", c.layers}, {"n_head", c.heads}, {"n_embd", c.width}, {"n_inner", c.inner},
                         {"vocab_size", c.vocab}, {"n_positions", c.context}, {"layer_norm_epsilon", c.layer_norm_epsilon},
                         {"activation_function", c.activation}, {"tie_word_embeddings", c.tied_unembedding}};
    write_file(scratch_->path() / "config.json", config.dump(1) + "\n");
    const RandomWeights weights(c, bench_.options.seed);
    std::vector<SafetensorsWriter::Declaration> tensors;
    // Biases and layernorms are float32 in memory whatever the matrices are.
    const auto dtype = [&](const RandomWeights::Entry& entry) { return entry.shape.rank() == 1 ? DType::kF32 : bench_.model.dtype(); };
    for (const auto& entry : weights.entries()) tensors.push_back({entry.name, dtype(entry), entry.shape});
    SafetensorsWriter writer(scratch_->path() / "model.safetensors", tensors);
    for (const auto& entry : weights.entries()) writer.append(weights.make(entry.name, dtype(entry)).view());
    writer.finish();
  }

  const Bench& bench_;
  std::vector<int32_t> ids_;
  ModelOptions how_;
  std::string path_;
  std::optional<Scratch> scratch_;
};

}  // namespace

void bench_load(const Bench& bench) { LoadBench(bench).measure(); }

uint64_t load_steps(const BenchOptions& options, bool) { return 1 + static_cast<uint64_t>(options.repeat); }

}  // namespace vitrine::bench
