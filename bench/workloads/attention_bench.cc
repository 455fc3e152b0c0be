// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/finite.h"
#include "bench/measure/checks.h"
#include "bench/measure/random_matrix.h"
#include "bench/measure/turns.h"
#include "engine/model_state.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// One layer's attention over `batch` sequences of the prompt's length, whose keys and values lie
/// in a cache.
class AttentionCase {
 public:
  AttentionCase(const ModelState& state, int batch, int64_t length)
      : config_(state.config),
        backend_(*state.backend),
        batch_(batch),
        length_(length),
        qkv_(backend_, batch * length, 3 * config_.width, state.activation_dtype(), 21),
        z_(backend_, batch * length, config_.width, state.activation_dtype(), 22),
        each_(backend_.kv_bytes(length, config_.heads, head_width(), state.activation_dtype())),
        cache_(backend_.allocate(each_ * static_cast<size_t>(batch))) {
    const int64_t d = config_.width;
    place(all_, length);
    backend_.append_kv(qkv_.mat.columns(d, d), qkv_.mat.columns(2 * d, d), config_.heads,
                       head_width(), all_.batch, cache_.data());
    place(last_, 1);
  }

  void all() { attend(all_, qkv_.mat.columns(0, config_.width), z_.mat); }
  /// The last position of each sequence alone. Its query is the matrix's row of the sequence's
  /// number: any will do.
  void last() {
    attend(last_, qkv_.mat.row_range(0, batch_).columns(0, config_.width),
           z_.mat.row_range(0, batch_));
  }

  /// Finite, and the last row of the last sequence the same as alone.
  void check() {
    all();
    const int64_t end = batch_ * length_ - 1, d = config_.width;
    const std::vector<float> among = download(backend_, z_.mat.row_range(end, 1));
    require(!first_non_finite(among.data(), DType::kF32, d), "attention's results are finite");
    Placed one;
    one.slices = {{0, 1, length_ - 1, static_cast<int64_t>(each_) * (batch_ - 1), length_, 0}};
    place(one);
    attend(one, qkv_.mat.row_range(end, 1).columns(0, d), z_.mat.row_range(0, 1));
    require(download(backend_, z_.mat.row_range(0, 1)) == among,
            "a row of attention is the same bits alone as among others");
  }

 private:
  /// A batch and its memory; not movable.
  struct Placed {
    std::vector<int32_t> numbers;  // ids and positions, which attention does not read
    std::vector<SequenceSlice> slices;
    Buffer buffer;
    PassBatch batch;
  };

  int head_width() const { return static_cast<int>(config_.head_width()); }

  /// The last `rows` positions of every sequence.
  void place(Placed& placed, int64_t rows) {
    for (int64_t s = 0; s < batch_; ++s) {
      placed.slices.push_back({s * rows, rows, length_ - rows, static_cast<int64_t>(each_) * s,
                               length_, s * config_.heads * rows * length_});
    }
    place(placed);
  }
  void place(Placed& placed) {
    int64_t rows = 0;
    for (const SequenceSlice& slice : placed.slices) rows += slice.rows;
    placed.numbers.assign(static_cast<size_t>(rows), 0);
    placed.buffer = backend_.allocate(std::max<size_t>(
        backend_.batch_bytes(rows, static_cast<int64_t>(placed.slices.size())), 1));
    placed.batch = {placed.numbers, placed.numbers, placed.slices, placed.buffer.data()};
    backend_.place(placed.batch);
  }
  void attend(const Placed& placed, Mat q, Mat z) {
    backend_.attention({.q = q,
                        .heads = config_.heads,
                        .head_width = head_width(),
                        .scale = 1.0f / std::sqrt(static_cast<float>(head_width())),
                        .batch = &placed.batch,
                        .cache = cache_.data(),
                        .z = z});
  }

  const Config& config_;
  Backend& backend_;
  int batch_;
  int64_t length_;
  RandomMatrix qkv_, z_;
  size_t each_;
  Buffer cache_;
  Placed all_, last_;
};

/// Whole prompts, or the last position of each sequence alone.
void measure(const Bench& bench, int batch, int64_t length, bool whole) {
  const ModelState& state = state_of(bench.model);
  const auto lock = state.backend->exclusive();
  bench.step("attention");
  AttentionCase here(state, batch, length);
  here.check();
  Row row = bench.row("attention", whole ? fmt::format("{} x {} tokens", batch, length)
                                         : fmt::format("batch {} after {}", batch, length - 1));
  const int64_t rows = whole ? length : 1;
  const Work work = attention(state.config, state.activation_dtype(), batch, rows, length - rows);
  set_floor(row, work, bench.best(), !state.backend->host_memory());
  const std::string step = "attention " + row.shape;
  measure_alone(bench, std::move(row), step, [&] { whole ? here.all() : here.last(); });
}

}  // namespace

Cases attention_cases(const BenchOptions& options) {
  Cases cases;
  for (const int64_t length : options.prompts) {
    for (const int batch : options.batches) {
      cases.push_back({.measure = [=](const Bench& b) { measure(b, batch, length, true); }});
    }
    for (const int batch : options.decode_batches) {
      cases.push_back({.measure = [=](const Bench& b) { measure(b, batch, length, false); }});
    }
  }
  return cases;
}

}  // namespace vitrine::bench
