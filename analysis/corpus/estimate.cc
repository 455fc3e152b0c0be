// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "analysis/common/batch_budget.h"
#include "analysis/corpus/identity.h"
#include "analysis/corpus/shard.h"
#include "analysis/corpus/statistics.h"
#include "analysis/corpus/window_batches.h"
#include "base/ceil_div.h"
#include "base/check.h"
#include "vitrine/corpus/corpus_estimate.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kReadWhole = 4'000'000;  // bytes of text
constexpr int kMinPlaces = 8, kMaxPlaces = 4096;
constexpr uint64_t kTensorHeaderBytes = 68;  // of a tensor, beside its name
constexpr uint64_t kPlaceBytes = 16'000;  // of text that are read at a place of a sample, at least

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int64_t scaled(int64_t count, double factor) {
  return std::llround(static_cast<double>(count) * factor);
}

/// Documents of a corpus as windows.
struct TextSample {
  std::vector<Window> windows;
  int64_t documents = 0;
  uint64_t bytes = 0;  ///< of text, bad documents included
  double seconds = 0;  ///< of reading and tokenizing them
};

/// One document and the bad ones before it.
bool add_document(WindowReader& reader, TextSample& sample) {
  const uint64_t before = reader.documents().bytes_read();
  Window window;
  do {
    if (!reader.next(window)) break;
    sample.documents += window.begin == 0 ? 1 : 0;
    sample.windows.push_back(window);
  } while (!reader.between_documents());
  sample.bytes += reader.documents().bytes_read() - before;
  return reader.documents().bytes_read() > before;
}

TextSample all_documents(WindowReader& reader) {
  TextSample sample;
  const double start = now();
  reader.sample(0);
  while (add_document(reader, sample)) {
  }
  sample.bytes = reader.documents().total_bytes();
  sample.seconds = now() - start;
  return sample;
}

/// Near places that divide the corpus evenly, however many there are: multiples of the golden
/// ratio.
TextSample some_documents(WindowReader& reader, double most_seconds) {
  TextSample sample;
  const double start = now();
  for (int i = 0; i < kMaxPlaces; ++i) {
    const double elapsed = now() - start;
    if (elapsed > most_seconds && (i >= kMinPlaces || elapsed > 10 * most_seconds)) break;
    const double place = 0.5 + i * 0.6180339887498949;
    reader.sample(place - std::floor(place));
    // As many bytes everywhere, so that long documents do not count more than short ones.
    for (const uint64_t end = sample.bytes + kPlaceBytes; sample.bytes < end;) {
      if (!add_document(reader, sample)) break;
    }
  }
  sample.seconds = now() - start;
  return sample;
}

class Estimator {
 public:
  Estimator(const Model& model, WindowReader& reader, const Hooks& hooks,
            const CorpusCaptureOptions& capture, const CorpusEstimateOptions& options)
      : capture_(capture),
        options_(options),
        reader_(reader),
        batches_(model, hooks, capture.batch_tokens),
        sites_(batches_.sites()),
        sparse_(has_sparse_rows(sites_, reader.options())) {
    if (capture.int8) batches_.store_int8();
    found_.shard_tokens = shard_limit(sites_, reader.options(), capture.shard_tokens);
    found_.buffer_bytes = 2 * CorpusShard::bytes(sites_, sparse_, found_.shard_tokens);
    found_.disk_rate = options.disk_rate;
    // An edit that cannot be saved is rejected, and covariances that are too large.
    RowStatistics(corpus_identity(model, reader, hooks, {}), sites_, capture.covariance);
  }

  CorpusEstimate run() {
    read();
    count();
    measure();
    return std::move(found_);
  }

 private:
  void read() {
    const DocumentReader& documents = reader_.documents();
    if (documents.total_bytes() == 0)
      user_error("the corpus has an unknown size: expected files, not standard input or pipes");
    found_.counted = documents.total_bytes() <= kReadWhole;
    sample_ =
        found_.counted ? all_documents(reader_) : some_documents(reader_, options_.seconds / 4);
    found_.sampled_documents = sample_.documents;
    found_.bad_documents = documents.skipped();
    found_.first_bad = documents.first_skipped();
    if (sample_.windows.empty())
      user_error("the corpus has no valid document; the first bad one: {}", found_.first_bad);
  }

  bool is_of_rank(const Window& window) const {
    const CorpusOptions& corpus = reader_.documents().options();
    return !found_.counted || window.document % corpus.world == corpus.rank;
  }

  /// Counts of the sample, scaled to the corpus and to a rank.
  void count() {
    const auto world = static_cast<double>(reader_.documents().options().world);
    const double scale = found_.counted ? 1
                                        : static_cast<double>(reader_.documents().total_bytes()) /
                                              static_cast<double>(sample_.bytes);
    const double rank_scale = found_.counted ? 1 : scale / world;
    const Totals all = totals([](const Window&) { return true; }),
                 own = totals([this](const Window&window) { return is_of_rank(window); });
    found_.documents = scaled(sample_.documents, scale);
    found_.windows = scaled(all.windows, scale);
    found_.tokens = scaled(all.new_tokens, scale);
    found_.rank_tokens = scaled(own.new_tokens, rank_scale);
    rank_ids_ = static_cast<double>(own.ids) * rank_scale;
    found_.shards = found_.counted ? own.shards : scaled_shards(own);
    for (size_t i = 0; i < sites_.size(); ++i) {
      found_.sites.push_back({.name = sites_[i].name,
                              .dtype = sites_[i].stored(),
                              .shape = sites_[i].row,
                              .rows = scaled(all.rows[i], scale),
                              .bytes = site_bytes(i, all, scale)});
    }
    const auto shards = static_cast<double>(found_.shards);
    const double all_shards = found_.counted ? static_cast<double>(all.shards) : shards * world;
    found_.bytes = all_bytes(all, scale, all_shards);
    found_.rank_bytes = all_bytes(own, rank_scale, shards);
  }

  struct Totals {
    int64_t windows = 0, ids = 0, new_tokens = 0;
    int64_t shards = 0;         ///< if the windows were the rank's
    std::vector<int64_t> rows;  ///< by site
  };

  template <typename Which>
  Totals totals(const Which& which) const {
    Totals found;
    found.rows.resize(sites_.size());
    int64_t filled = 0;
    for (const Window& window : sample_.windows) {
      if (!which(window)) continue;
      const auto tokens = std::ssize(window.ids);
      if (filled == 0 || filled + tokens > found_.shard_tokens) {
        ++found.shards;
        filled = 0;
      }
      filled += tokens;
      ++found.windows;
      found.ids += tokens;
      found.new_tokens += window.new_tokens();
      for (size_t i = 0; i < sites_.size(); ++i) found.rows[i] += rows_of(sites_[i], window);
    }
    return found;
  }

  static int64_t rows_of(const WindowSite& site, const Window& window) {
    if (site.positions.empty()) return window.new_tokens();
    int64_t rows = 0;
    for (int64_t position = window.repeated; position < std::ssize(window.ids); ++position)
      rows += site.has_row(position, window) ? 1 : 0;
    return rows;
  }

  /// A shard holds whole windows of about the mean length.
  int64_t scaled_shards(const Totals& own) const {
    const int64_t window = std::max<int64_t>(1, own.ids / own.windows);
    const int64_t filled = std::max<int64_t>(1, found_.shard_tokens / window) * window;
    return ceil_div(static_cast<int64_t>(rank_ids_), filled);
  }

  uint64_t site_bytes(size_t i, const Totals& totals, double scale) const {
    const auto rows = static_cast<double>(totals.rows[i]);
    double bytes = rows * static_cast<double>(sites_[i].stored_bytes());
    if (sparse_) bytes += 8 * (rows + static_cast<double>(totals.windows));
    return static_cast<uint64_t>(bytes * scale);
  }

  /// With the tables of windows and the files' headers.
  uint64_t all_bytes(const Totals& totals, double scale, double shards) const {
    double bytes =
        (4 * static_cast<double>(totals.ids) + 32 * static_cast<double>(totals.windows)) * scale;
    uint64_t header = 5 * kTensorHeaderBytes;
    for (size_t i = 0; i < sites_.size(); ++i) {
      bytes += static_cast<double>(site_bytes(i, totals, scale));
      header += (sites_[i].name.size() + kTensorHeaderBytes + 6) * (sparse_ ? 3 : 1);
    }
    return static_cast<uint64_t>(bytes + static_cast<double>(header) * shards);
  }

  /// Passes over the sample, again and again, after one to warm up.
  void measure() {
    CorpusShard shard(sites_, sparse_, std::max(capture_.batch_tokens, reader_.options().window));
    size_t at = 0;
    pass(shard, at);
    double seconds = 0;
    int64_t ids = 0;
    for (const double start = now(); seconds < options_.seconds; seconds = now() - start) {
      if (ids > 0 && capture_.keep_going && !capture_.keep_going()) break;
      ids += pass(shard, at);
      if (capture_.progress)
        capture_.progress->update(static_cast<uint64_t>(1000 * seconds),
                                  static_cast<uint64_t>(1000 * options_.seconds), "Measuring");
    }
    int64_t all_ids = 0, new_tokens = 0;
    for (const Window& window : sample_.windows) {
      all_ids += std::ssize(window.ids);
      new_tokens += window.new_tokens();
    }
    const double each = seconds / static_cast<double>(ids) +
                        sample_.seconds / static_cast<double>(all_ids);  // of a token that is read
    found_.compute_seconds = rank_ids_ * each;
    found_.tokens_per_second =
        static_cast<double>(new_tokens) / (each * static_cast<double>(all_ids));
    found_.write_seconds = static_cast<double>(found_.rank_bytes) / options_.disk_rate;
    found_.read_seconds = found_.write_seconds;
    found_.seconds = std::max(found_.compute_seconds, found_.write_seconds);
  }

  /// One batch, from window `at` of the sample on; returns its tokens.
  int64_t pass(CorpusShard& shard, size_t& at) {
    WindowBatch batch;
    BatchBudget budget(capture_.batch_tokens);
    int64_t ids = 0;
    while (batch.windows.size() < sample_.windows.size()) {
      const Window& window = sample_.windows[at];
      if (!budget.takes(std::ssize(window.ids))) break;
      ids += std::ssize(window.ids);
      batch.windows.push_back(window);
      batch.digests.push_back(0);
      at = (at + 1) % sample_.windows.size();
    }
    batches_.forward(batch);
    shard.clear();
    for (size_t s = 0; s < batch.windows.size(); ++s) shard.add(batch, s);
    return ids;
  }

  const CorpusCaptureOptions& capture_;
  const CorpusEstimateOptions& options_;
  WindowReader& reader_;
  WindowBatches batches_;
  const std::vector<WindowSite>& sites_;
  bool sparse_;
  CorpusEstimate found_;
  TextSample sample_;
  double rank_ids_ = 0;  // tokens that the rank's passes read
};

/// Of the nearest folder that exists.
uint64_t free_bytes_at(fs::path folder) {
  std::error_code error;
  folder = fs::absolute(folder);
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  if (!fs::is_directory(folder, error))
    user_error("{}: is a file: expected a folder, or none yet", folder.string());
  const fs::space_info space = fs::space(folder, error);
  return error ? 0 : space.available;
}

}  // namespace

CorpusEstimate estimate_corpus_capture(const Model& model, WindowReader windows, const Hooks& hooks,
                                       const fs::path& folder, const CorpusCaptureOptions& capture,
                                       const CorpusEstimateOptions& options) {
  for (const auto& [what, value] : {std::pair("time of measuring", options.seconds),
                                    std::pair("rate of the disk", options.disk_rate)}) {
    if (!(value > 0) || std::isinf(value))
      user_error("invalid {} {}: expected a number > 0", what, value);
  }
  const uint64_t free_bytes = free_bytes_at(folder);
  CorpusEstimate found = Estimator(model, windows, hooks, capture, options).run();
  found.free_bytes = free_bytes;
  return found;
}

}  // namespace vitrine
