// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>

#include "base/atomic_file.h"
#include "base/check.h"
#include "bench/measure/checks.h"
#include "bench/measure/scratch.h"
#include "bench/measure/timing.h"
#include "bench/measure/turns.h"
#include "engine/model_state.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/corpus/corpus_capture.h"
#include "vitrine/corpus/shard_reader.h"

namespace vitrine::bench {
using namespace internal;
namespace {

constexpr const char* kSites = "blocks.*.hook_resid_post";

/// The residual stream of a few documents, a prompt long each, to shards on the disk.
class CaptureBench {
 public:
  CaptureBench(const Bench& bench, int64_t length)
      : bench_(bench),
        backend_(*state_of(bench.model).backend),
        length_(length),
        scratch_(bench.options.scratch) {
    constexpr double kMostBytes = 256e6, kMostDocuments = 8;
    const Config& config = bench.model.config();
    const double each = 4.0 * config.layers * static_cast<double>(config.width * length);
    documents_ = static_cast<int64_t>(std::clamp(kMostBytes / each, 1.0, kMostDocuments));
    std::string lines;
    for (int64_t i = 0; i < documents_; ++i)
      lines += Json({{"ids", some_tokens(config, length, 17 * i)}}).dump() + "\n";
    write_file(corpus(), lines);
  }

  void measure() {
    Row row = bench_.row("capture", fmt::format("{} x {} tokens, residual", documents_, length_));
    const std::string step = "capture, " + row.shape;
    bench_.step(step);
    CorpusCaptureSummary summary;
    try {
      summary = run();
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::kUser) throw;
      row.note = error.what();  // not enough disk space or memory
      return bench_.on_row(std::move(row));
    }
    check(summary);
    row.captured = static_cast<double>(summary.bytes);
    row.unit = "GB/s";
    row.amount = row.captured * 1e-9;
    Row tokens = row, back = row;
    tokens.shape += ", tokens";
    tokens.unit = "tok/s";
    tokens.amount = static_cast<double>(documents_ * length_);
    back.shape += ", read back";
    for (int turn = 0; turn < bench_.options.repeat; ++turn) {
      bench_.step(step);
      measure_once(bench_, row, [this] { return seconds_each(backend_, 1, [this] { run(); }); });
      writing_.add(disk_write_rate(scratch_.path(), static_cast<size_t>(summary.bytes)));
      row.ratio.add(row.seconds.values.back() * writing_.values.back() / row.captured);
      bench_.step("the passes alone, " + row.shape);
      tokens.seconds.add(row.seconds.values.back());
      tokens.ratio.add(row.seconds.values.back() / seconds_each(backend_, 1, [this] { passes(); }));
      bench_.step(back.workload + ", " + back.shape);
      measure_once(bench_, back, [this] { return read_back(); });
      reading_.add(disk_read_rate(shards()));
      back.ratio.add(back.seconds.values.back() * reading_.values.back() / back.captured);
    }
    row.floor = tokens.floor =
        std::max(row.captured / writing_.max(), pass().seconds(bench_.best()));
    back.floor = back.captured / reading_.max();
    row.note = disk_note("wrote", writing_);
    back.note = disk_note("read", reading_);
    row.against = back.against = "disk alone";
    tokens.against = "passes alone";
    for (Row* each : {&row, &tokens, &back}) bench_.on_row(std::move(*each));
  }

 private:
  std::filesystem::path corpus() const { return scratch_.path() / "corpus.jsonl"; }
  std::filesystem::path shards() const { return scratch_.path() / "shards"; }

  static std::string disk_note(const char* did, const Samples& rates) {
    return fmt::format("the disk alone {} {:.3g} GB/s at best, {:.3g} in the median", did,
                       rates.max() * 1e-9, rates.median() * 1e-9);
  }

  /// What a capture computes, by as many tokens a pass, without captures.
  void passes() const {
    const int64_t together = std::max<int64_t>(1, CorpusCaptureOptions().batch_tokens / length_);
    for (int64_t i = 0; i < documents_; i += together) {
      Batch batch;
      for (int64_t j = i; j < std::min(i + together, documents_); ++j)
        batch.push_back(some_tokens(bench_.model.config(), length_, 17 * j));
      bench_.model.forward(batch, {}, {.logits = LogitRows::kNone});
    }
  }

  /// Seconds of all rows in shuffled batches, from files that are not cached.
  double read_back() const {
    drop_cached(shards());
    const double start = now();
    const ShardStore store(shards());
    ShardBatches batches(store, store.sites(), {.rows = 256, .drop_last = false});
    int64_t rows = 0;
    for (std::vector<std::vector<float>> batch; batches.next(batch);)
      rows += std::ssize(batch[0]) / bench_.model.config().width;
    const double seconds = now() - start;
    require(rows == documents_ * length_, "every row is read back");
    return seconds;
  }

  Work pass() const {
    Work work;
    for (int64_t i = 0; i < documents_; ++i)
      work = work + forward_pass(bench_.model.config(), bench_.model.dtype(), 1, length_, 0);
    return work;
  }

  /// Always from the beginning: a capture that is there already would be gone on with.
  CorpusCaptureSummary run() const {
    std::filesystem::remove_all(shards());
    WindowReader windows(bench_.model, DocumentReader({corpus().string()}), {.window = length_});
    return capture_corpus(bench_.model, std::move(windows), Hooks().capture(kSites), shards());
  }

  /// Every shard is what its manifest says, and the first document's rows are the bits of a pass
  /// over it.
  void check(const CorpusCaptureSummary& summary) const {
    require(summary.complete && summary.tokens == documents_ * length_,
            "a capture has every token");
    const CorpusCheck found = check_corpus_capture(shards());
    require(found.complete && found.problems.empty(), "shards are what their manifest says");
    const Run whole = bench_.model.forward(some_tokens(bench_.model.config(), length_),
                                           Hooks().capture(kSites), {.logits = LogitRows::kNone});
    const SafetensorsFile first(summary.folder / "shard-000000.safetensors");
    for (const auto& entry : whole.captures().entries()) {
      const TensorView kept = whole[entry.name], written = first.tensor(entry.name);
      require(written.bytes() >= kept.bytes() &&
                  std::memcmp(written.data(), kept.data(), kept.bytes()) == 0,
              "what is on the disk is what a pass has");
    }
  }

  const Bench& bench_;
  Backend& backend_;
  int64_t length_, documents_ = 1;
  Scratch scratch_;
  Samples writing_, reading_;  ///< bytes a second of as many bytes alone
};

}  // namespace

Cases capture_cases(const BenchOptions& options) {
  Cases cases;
  for (const int64_t length : options.prompts) {
    cases.push_back({.turns = 3, .measure = [=](const Bench& bench) {
                       CaptureBench(bench, length).measure();
                     }});
  }
  return cases;
}

}  // namespace vitrine::bench
