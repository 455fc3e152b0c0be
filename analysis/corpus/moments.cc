// SPDX-License-Identifier: MIT
#include <map>
#include <optional>
#include <utility>

#include "analysis/corpus/identity.h"
#include "analysis/corpus/moments_state.h"
#include "analysis/corpus/window_batches.h"
#include "base/check.h"
#include "base/file_lock.h"
#include "base/finite.h"
#include "vitrine/corpus/corpus_moments.h"
#include "vitrine/running_moments.h"

namespace vitrine {
using namespace internal;
namespace {

/// One run of one rank.
class MomentsRun {
 public:
  MomentsRun(const Model& model, WindowReader& windows, const Hooks& hooks,
             const CorpusMomentsOptions& options)
      : options_(options),
        model_(model),
        windows_(windows),
        batches_(model, hooks, options.batch_tokens, Residence::kDevice),
        identity_(corpus_identity(model, windows, hooks, options.weights_digest)),
        running_(model, widths()) {
    if (!options.state.empty()) lock_.emplace(options.state.string() + ".lock", options.state);
    if (options.state.empty() || !std::filesystem::exists(options.state)) {
      begin();
    } else {
      go_on();
    }
  }

  CorpusMoments run() {
    if (state_.moments.complete) return std::move(state_.moments);
    try {
      read_all();
    } catch (...) {
      // Whole batches are worth keeping, whatever ended the run between two of them.
      if (!options_.state.empty() && !inside_batch_) save();
      throw;
    }
    state_.moments.first_skipped = windows_.documents().first_skipped();
    if (options_.state.empty())
      bring();
    else
      save();
    return std::move(state_.moments);
  }

 private:
  void read_all() {
    uint64_t unsaved = 0;
    for (;;) {
      if (options_.keep_going && !options_.keep_going()) break;
      const WindowBatch batch = batches_.next(windows_);
      if (batch.windows.empty()) {
        finish();
        break;
      }
      const int64_t before = state_.moments.tokens;
      add(batch);
      unsaved += static_cast<uint64_t>(state_.moments.tokens - before);
      if (!options_.state.empty() && unsaved >= static_cast<uint64_t>(options_.save_tokens)) {
        save();
        unsaved = 0;
      }
      const auto done = static_cast<uint64_t>(state_.moments.tokens);
      if (options_.progress)
        options_.progress->update(done, estimated_tokens(windows_.documents(), done), "Covariance");
    }
  }

  /// Of all sites, whose matrices are allowed to be that large.
  std::vector<int64_t> widths() const {
    std::vector<int64_t> widths;
    double bytes = 0;
    for (const WindowSite& site : batches_.sites()) {
      widths.push_back(site.width());
      bytes += 8.0 * static_cast<double>(site.width()) * static_cast<double>(site.width());
    }
    if (bytes > static_cast<double>(options_.max_bytes)) {
      user_error(
          "the covariance matrices of {} sites take {:.3g} GB: expected at most {:.3g} GB; use "
          "fewer sites, or select heads or neurons",
          batches_.sites().size(), bytes * 1e-9, static_cast<double>(options_.max_bytes) * 1e-9);
    }
    return widths;
  }

  void begin() {
    for (const WindowSite& site : batches_.sites()) {
      state_.moments.sites.push_back(
          {site.name, site.variable_names(), Moments(site.width(), options_.max_bytes)});
    }
    state_.moments.parts = Json::array({identity_}).dump();
    if (!options_.state.empty())
      save();  // a place that cannot be written to is found before the work
  }

  void go_on() {
    const std::string file = options_.state.string();
    state_ = read_moments_state(options_.state);
    const Json parts = Json::parse(state_.moments.parts);
    if (parts.size() != 1)
      user_error("{}: contains {} merged runs, which cannot be resumed; choose another path", file,
                 parts.size());
    check_same_identity(identity_, parts[0], file);
    check_sites(file);
    state_.moments.resumed = true;
    if (state_.moments.complete) return;
    for (size_t i = 0; i < state_.moments.sites.size(); ++i)
      running_.set(static_cast<int>(i), MomentsState::sums(state_.moments.sites[i].moments));
    go_on_behind(windows_, state_.position, file);
  }

  /// The identity and the sites are two things in the file, which only agree if it is sound.
  void check_sites(const std::string& file) const {
    const auto& there = state_.moments.sites;
    const auto& here = batches_.sites();
    bool same = there.size() == here.size();
    for (size_t i = 0; same && i < here.size(); ++i)
      same = there[i].site == here[i].name && there[i].variables == here[i].variable_names();
    if (!same)
      user_error("{}: damaged: its {} sites are not those of the run that it describes", file,
                 there.size());
  }

  void add(const WindowBatch& batch) {
    CorpusMoments& moments = state_.moments;
    inside_batch_ = true;
    for (size_t i = 0; i < moments.sites.size(); ++i) {
      const Captures::Entry& entry = batch.run.captures().entry(moments.sites[i].site);
      for (size_t s = 0; s < batch.windows.size(); ++s)
        add_rows(static_cast<int>(i), entry.sequences[s], batch.windows[s]);
    }
    if (const int spoiled = running_.spoiled(); spoiled >= 0)
      refuse_spoiled(batches_.sites()[static_cast<size_t>(spoiled)].name, batch);
    for (const Window& window : batch.windows) {
      moments.tokens += window.new_tokens();
      moments.documents += window.begin == 0 ? 1 : 0;
    }
    moments.windows += static_cast<int64_t>(batch.windows.size());
    const Window& last = batch.windows.back();
    state_.position = {last.document, last.begin, batch.digests.back()};
    inside_batch_ = false;
  }

  /// Rows next to each other at once.
  void add_rows(int site, const Captures::Entry::Sequence& rows, const Window& window) {
    const std::vector<size_t> kept =
        WindowBatches::kept_rows(batches_.sites()[static_cast<size_t>(site)], rows, window);
    for (size_t begin = 0, end = 0; begin < kept.size(); begin = end) {
      for (end = begin + 1; end < kept.size() && kept[end] == kept[end - 1] + 1;) ++end;
      running_.add(site, rows.values, static_cast<int64_t>(kept[begin]),
                   static_cast<int64_t>(end - begin));
    }
  }

  [[noreturn]] void refuse_spoiled(const std::string& site, const WindowBatch& batch) const {
    const auto& sequences = batch.run.captures().entry(site).sequences;
    for (size_t s = 0; s < batch.windows.size(); ++s) {
      const Tensor values = model_.to_host(sequences[s].values);
      if (!first_non_finite(values.data(), values.dtype(), values.elements())) continue;
      user_error("'{}' contains NaN or infinity in the window at token {} of document {}", site,
                 batch.windows[s].begin, batch.windows[s].document);
    }
    internal_error("'{}' was reported to contain NaN or infinity, but none was found", site);
  }

  void bring() {
    for (size_t i = 0; i < state_.moments.sites.size(); ++i)
      MomentsState::set_sums(state_.moments.sites[i].moments, running_.sums(static_cast<int>(i)));
  }

  void finish() {
    if (state_.moments.windows == 0 && windows_.documents().options().world == 1) {
      user_error("the corpus has no valid document; the first bad one: {}",
                 windows_.documents().first_skipped());
    }
    state_.moments.complete = true;
  }

  void save() {
    bring();
    state_.moments.skipped = windows_.documents().skipped();
    write_moments_state(state_, options_.state);
  }

  const CorpusMomentsOptions& options_;
  const Model& model_;
  WindowReader& windows_;
  WindowBatches batches_;
  Json identity_;
  RunningMoments running_;
  std::optional<FileLock> lock_;
  MomentsState state_;
  bool inside_batch_ = false;  // the sums hold a part of a batch
};

/// Runs may be merged that differ in nothing but their corpus and rank, all ranks of each corpus.
void check_parts(const Json& parts) {
  std::map<Json, std::map<int64_t, int64_t>> ranks_of;  // by corpus: how often each rank is there
  std::map<Json, int64_t> world_of;
  for (const Json& part : parts) {
    Json other = part;
    for (const char* own : {"corpus", "rank", "world"}) other[own] = parts[0][own];
    check_same_identity(parts[0], other, "what is to be merged");
    const auto world = part["world"].get<int64_t>();
    if (const auto known = world_of.emplace(part["corpus"], world).first; known->second != world) {
      user_error(
          "different worlds of {} and {} ranks for one corpus, so some documents are in both: "
          "expected one world",
          world, known->second);
    }
    ++ranks_of[part["corpus"]][part["rank"].get<int64_t>()];
  }
  for (const auto& [corpus, ranks] : ranks_of) {
    const int64_t world = world_of.at(corpus);
    for (int64_t rank = 0; rank < world; ++rank) {
      const auto found = ranks.find(rank);
      const int64_t count = found == ranks.end() ? 0 : found->second;
      if (count != 1)
        user_error("rank {} of {} is {}: expected every rank of a corpus once", rank, world,
                   count == 0 ? "missing" : fmt::format("present {} times", count));
    }
  }
}

}  // namespace

CorpusMoments corpus_moments(const Model& model, WindowReader windows, const Hooks& hooks,
                             const CorpusMomentsOptions& options) {
  return MomentsRun(model, windows, hooks, options).run();
}

CorpusMoments read_moments(const std::filesystem::path& path) {
  return read_moments_state(path).moments;
}

void write_moments(const CorpusMoments& moments, const std::filesystem::path& path) {
  write_moments_state({moments, {}}, path);
}

CorpusMoments merge_moments(const std::vector<std::filesystem::path>& paths) {
  if (paths.empty()) user_error("missing states to merge: expected the states of a corpus's ranks");
  CorpusMoments merged;
  Json parts = Json::array();
  for (const auto& path : paths) {
    CorpusMoments next = read_moments(path);
    if (!next.complete)
      user_error("{}: incomplete run: expected a complete one; let it finish first", path.string());
    for (const Json& part : Json::parse(next.parts)) parts.push_back(part);
    if (merged.sites.empty()) {
      merged = std::move(next);
      continue;
    }
    if (next.sites.size() != merged.sites.size())
      user_error("{}: has {} sites, but {} has {}", path.string(), next.sites.size(),
                 paths[0].string(), merged.sites.size());
    for (size_t i = 0; i < next.sites.size(); ++i) {
      if (next.sites[i].site != merged.sites[i].site ||
          next.sites[i].variables != merged.sites[i].variables) {
        user_error("{}: has '{}' of {} variables, but {} has '{}' of {}", path.string(),
                   next.sites[i].site, next.sites[i].variables.size(), paths[0].string(),
                   merged.sites[i].site, merged.sites[i].variables.size());
      }
      merged.sites[i].moments.merge(next.sites[i].moments);
    }
    merged.windows += next.windows;
    merged.documents += next.documents;
    merged.tokens += next.tokens;
    merged.skipped += next.skipped;
  }
  check_parts(parts);
  merged.parts = parts.dump();
  return merged;
}

}  // namespace vitrine
