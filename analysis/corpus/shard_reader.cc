// SPDX-License-Identifier: MIT
#include "vitrine/corpus/shard_reader.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "analysis/corpus/manifest.h"
#include "analysis/corpus/shard_order.h"
#include "analysis/corpus/stored_rows.h"
#include "base/ceil_div.h"
#include "base/check.h"
#include "base/quote.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

constexpr size_t kOpenShards = 384;  // each is a mapping
constexpr int64_t kMaxShards = int64_t{1} << 32;

bool is_site(const std::string& name) {
  static const std::set<std::string> kTables = {"ids", "offsets", "documents", "begins",
                                                "repeated"};
  return !kTables.contains(name) && !name.ends_with(".positions") && !name.ends_with(".offsets") &&
         !name.ends_with(".scales");
}

struct Rank {
  fs::path folder;
  CorpusManifest manifest;
};

void check_same_run(const Rank& first, const Rank& other) {
  Json identity = other.manifest.identity;
  identity["rank"] = first.manifest.identity["rank"];
  check_same_identity(first.manifest.identity, identity, (other.folder / "manifest.json").string());
}

/// The shards' sizes, and that no manifest promises more rows than its files can have.
void check_files(const Rank& rank) {
  for (size_t i = 0; i < rank.manifest.shards.size(); ++i) {
    const ShardEntry& entry = rank.manifest.shards[i];
    const fs::path path = rank.folder / shard_name(i);
    const std::string problem = shard_problem(path, entry, false);
    if (!problem.empty()) user_error("{}; `vitrine corpus --repair` makes it again", problem);
    const auto rows = static_cast<uint64_t>(entry.tokens), bytes = entry.bytes / sizeof(int32_t);
    if (rows > bytes)
      user_error("{}: damaged: {} has {} bytes, which is less than {} tokens take",
                 (rank.folder / "manifest.json").string(), shard_name(i), entry.bytes, rows);
  }
}

std::vector<Rank> read_ranks(const fs::path& folder, bool incomplete) {
  std::vector<Rank> ranks;
  int64_t world = 0;
  for (const fs::path& path : rank_folders(folder)) {
    const bool begun = fs::exists(path / "manifest.json");
    if (!begun && incomplete) continue;
    if (!begun)
      user_error("{}: missing manifest.json: its run has not finished a shard", path.string());
    Rank rank{path, CorpusManifest::read(path / "manifest.json")};
    const std::string file = (path / "manifest.json").string();
    const JsonFields identity(rank.manifest.identity, file);
    world = identity.require_integer("world", 1, kMaxShards);
    if (path.filename() != rank_folder_name(identity.require_integer("rank", 0, world - 1), world))
      user_error("{}: contains the manifest of another rank", path.string());
    if (!incomplete && !rank.manifest.complete)
      user_error("{}: incomplete: its run was interrupted; resume the capture, or open it as such",
                 file);
    if (!ranks.empty()) check_same_run(ranks.front(), rank);
    check_files(rank);
    ranks.push_back(std::move(rank));
  }
  if (!incomplete && std::ssize(ranks) != world)
    user_error("{}: incomplete: {} of {} ranks are there; resume the capture, or open it as such",
               folder.string(), ranks.size(), world);
  return ranks;
}

/// Says that these bytes of a mapping are read soon.
void prefetch(const TensorView& rows, int64_t first, int64_t count) {
  const size_t row = rows.shape()[0] > 0 ? rows.bytes() / static_cast<size_t>(rows.shape()[0]) : 0;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(rows.data()) + static_cast<size_t>(first) * row;
  const uintptr_t from = begin / page * page;
  madvise(reinterpret_cast<void*>(from), begin - from + static_cast<size_t>(count) * row,
          MADV_WILLNEED);
}

}  // namespace

struct ShardStore::State {
  struct Column {
    DType dtype = DType::kF32;
    std::vector<int64_t> row;
    std::vector<int64_t> shard_rows;  ///< empty until they are needed
    bool sparse = false;
  };

  fs::path folder;
  std::vector<Rank> ranks;
  std::vector<std::pair<size_t, size_t>> place;  // of each shard: rank and number there
  bool complete = false;
  std::vector<std::string> sites;
  std::map<std::string, Column, std::less<>> columns;
  std::mutex mutex;                                     // guards what follows, and shard_rows
  std::list<std::pair<int64_t, SafetensorsFile>> open;  // the last used first

  const ShardEntry& entry(int64_t index) const {
    const auto [rank, number] = place[static_cast<size_t>(index)];
    return ranks[rank].manifest.shards[number];
  }

  Column& column(std::string_view site) {
    const auto found = columns.find(site);
    if (found == columns.end())
      user_error("{}: has no site {}: expected one of {}", folder.string(), quote(site),
                 fmt::join(sites, ", "));
    return found->second;
  }

  SafetensorsFile shard(int64_t index) {
    const std::lock_guard lock(mutex);
    return shard_locked(index);
  }

  SafetensorsFile shard_locked(int64_t index) {
    const auto found =
        std::find_if(open.begin(), open.end(), [&](const auto& one) { return one.first == index; });
    if (found != open.end()) {
      open.splice(open.begin(), open, found);
    } else {
      open.emplace_front(index, checked(index));
      if (open.size() > kOpenShards) open.pop_back();
    }
    return open.front().second;
  }

  /// Opens a shard and compares its tables and sites with the manifest and the first shard.
  SafetensorsFile checked(int64_t index) const {
    const auto [rank, number] = place[static_cast<size_t>(index)];
    const fs::path path = ranks[rank].folder / shard_name(number);
    const SafetensorsFile file(path);
    const auto rows_of = [&](const std::string& name) {
      return file.has(name) && file.tensor(name).shape().rank() > 0 ? file.tensor(name).shape()[0]
                                                                    : -1;
    };
    bool same = rows_of("documents") == entry(index).windows;
    for (const auto& [name, column] : columns) {
      if (!file.has(name)) user_error("{}: damaged: missing site {}", path.string(), quote(name));
      const TensorView rows = stored_rows(file, name).values;
      const auto sizes = rows.shape().sizes();
      same = same && rows.dtype() == column.dtype &&
             std::equal(sizes.begin() + 1, sizes.end(), column.row.begin(), column.row.end()) &&
             // A row takes bytes, so that a file of few bytes cannot promise many rows.
             sizes[0] == (column.sparse ? rows_of(name + ".positions") : entry(index).tokens);
    }
    if (!same)
      user_error(
          "{}: has other windows or rows than the manifest says; `vitrine corpus --repair` "
          "makes it again",
          path.string());
    return file;
  }

  /// Of the first shard, which says what all have.
  void read_columns() {
    const auto [rank, number] = place[0];
    const SafetensorsFile file(ranks[rank].folder / shard_name(number));
    for (const std::string& name : file.names()) {
      if (!is_site(name)) continue;
      const TensorView rows = stored_rows(file, name).values;
      const auto sizes = rows.shape().sizes();
      sites.push_back(name);
      columns[name] = {.dtype = rows.dtype(),
                       .row = {sizes.begin() + 1, sizes.end()},
                       .shard_rows = {},
                       .sparse = file.has(name + ".offsets")};
    }
    if (sites.empty()) user_error("{}: damaged: has no site", file.path().string());
  }

  std::vector<int64_t> shard_rows(std::string_view site) {
    Column& found = column(site);
    const std::lock_guard lock(mutex);
    for (int64_t i = std::ssize(found.shard_rows); i < std::ssize(place); ++i) {
      found.shard_rows.push_back(found.sparse ? shard_locked(i).tensor(site).shape()[0]
                                              : entry(i).tokens);
    }
    return found.shard_rows;
  }
};

ShardStore::ShardStore(const fs::path& folder, bool incomplete)
    : state_(std::make_shared<State>()) {
  State& s = *state_;
  s.folder = folder;
  s.ranks = read_ranks(folder, incomplete);
  bool complete = !s.ranks.empty();
  for (size_t r = 0; r < s.ranks.size(); ++r) {
    const CorpusManifest& manifest = s.ranks[r].manifest;
    complete = complete && manifest.complete &&
               manifest.identity["world"].get<int64_t>() == std::ssize(s.ranks);
    for (size_t i = 0; i < manifest.shards.size(); ++i) s.place.emplace_back(r, i);
  }
  s.complete = complete;
  if (s.place.empty())
    user_error("{}: contains no shard: expected a capture with at least one", folder.string());
  s.read_columns();
}

const fs::path& ShardStore::folder() const { return state_->folder; }
bool ShardStore::complete() const { return state_->complete; }
const std::vector<std::string>& ShardStore::sites() const { return state_->sites; }
int64_t ShardStore::shards() const { return std::ssize(state_->place); }

int64_t ShardStore::tokens() const {
  int64_t sum = 0;
  for (const Rank& rank : state_->ranks) sum += rank.manifest.total(&ShardEntry::tokens);
  return sum;
}

uint64_t ShardStore::bytes() const {
  uint64_t sum = 0;
  for (const Rank& rank : state_->ranks) {
    for (const ShardEntry& shard : rank.manifest.shards) sum += shard.bytes;
  }
  return sum;
}

int64_t ShardStore::rows(std::string_view site) const {
  int64_t sum = 0;
  for (const int64_t rows : state_->shard_rows(site)) sum += rows;
  return sum;
}

std::vector<int64_t> ShardStore::row_shape(std::string_view site) const {
  return state_->column(site).row;
}

DType ShardStore::stored(std::string_view site) const { return state_->column(site).dtype; }

SafetensorsFile ShardStore::shard(int64_t index) const {
  if (index < 0 || index >= shards())
    user_error("shard {} is out of range: expected 0..{}", index, shards() - 1);
  return state_->shard(index);
}

struct ShardBatches::State {
  ShardStore store;
  std::vector<std::string> sites;
  ShardBatchOptions options;
  std::vector<int64_t> shard_rows;
  std::vector<int64_t> widths;  // by site
  int64_t per_epoch = 0, taken = 0, epoch = -1, group = -1;
  std::optional<ShardOrder> order;

  void read(int64_t begin, int64_t end, std::vector<std::vector<float>>& batch) {
    const std::vector<ShardRow> rows = order->locate(begin, end);
    batch.assign(sites.size(), {});
    for (size_t i = 0; i < sites.size(); ++i) {
      batch[i].reserve(rows.size() * static_cast<size_t>(widths[i]));
      std::map<int64_t, std::pair<SafetensorsFile, StoredRows>> open;  // shards of this batch
      for (const ShardRow& row : rows) {
        auto shard = open.find(row.shard);
        if (shard == open.end()) {
          const SafetensorsFile file = store.shard(row.shard);
          shard = open.emplace(row.shard, std::pair(file, stored_rows(file, sites[i]))).first;
        }
        shard->second.second.append(row.row, 1, batch[i]);
      }
    }
  }

  void prefetch_group(int64_t number) {
    if (number == group) return;
    group = number;
    for (const ShardOrder::Block& block : order->blocks_of(group)) {
      const SafetensorsFile file = store.shard(block.shard);
      for (const std::string& site : sites) prefetch(file.tensor(site), block.first, block.rows);
    }
  }
};

namespace {

void check_options(const ShardBatchOptions& o) {
  for (const auto& [name, value] :
       {std::pair("rows", o.rows), {"buffer_rows", o.buffer_rows}, {"block_rows", o.block_rows}}) {
    if (value < 1 || value > int64_t{1} << 40)
      user_error("invalid {} {}: expected 1 or more", name, value);
  }
  if (o.epochs < 0) user_error("invalid epochs {}: expected 1 or more, or 0 for no end", o.epochs);
  if (o.world < 1 || o.rank < 0 || o.rank >= o.world)
    user_error("invalid rank {} of {}: expected a rank in 0..world-1", o.rank, o.world);
}

int64_t batches_of_rank(int64_t rows, const ShardBatchOptions& o) {
  if (o.drop_last) return rows / o.rows / o.world;
  return std::max<int64_t>(0, ceil_div(ceil_div(rows, o.rows) - o.rank, o.world));
}

}  // namespace

ShardBatches::ShardBatches(const ShardStore& store, std::vector<std::string> sites,
                           const ShardBatchOptions& options) {
  check_options(options);
  if (sites.empty() || std::set(sites.begin(), sites.end()).size() < sites.size())
    user_error("invalid sites [{}]: expected one or more different names", fmt::join(sites, ", "));
  state_ = std::make_unique<State>(State{.store = store,
                                         .sites = std::move(sites),
                                         .options = options,
                                         .shard_rows = {},
                                         .widths = {},
                                         .order = {}});
  State& s = *state_;
  int64_t rows = 0;
  for (const std::string& site : s.sites) {
    std::vector<int64_t> counts = store.state_->shard_rows(site);
    if (!s.shard_rows.empty() && counts != s.shard_rows)
      user_error("{} has other rows than {}: expected sites of the same positions", site,
                 s.sites.front());
    s.shard_rows = std::move(counts);
    int64_t width = 1;
    for (const int64_t size : store.row_shape(site)) width *= size;
    s.widths.push_back(width);
  }
  for (const int64_t count : s.shard_rows) rows += count;
  s.per_epoch = batches_of_rank(rows, options);
  if (s.per_epoch == 0)
    user_error(
        "{}: {} rows make no batch of {} rows for rank {} of {}: expected smaller batches, "
        "or the last one incomplete",
        store.folder().string(), rows, options.rows, options.rank, options.world);
}

ShardBatches::ShardBatches(ShardBatches&&) noexcept = default;
ShardBatches& ShardBatches::operator=(ShardBatches&&) noexcept = default;
ShardBatches::~ShardBatches() = default;

bool ShardBatches::next(std::vector<std::vector<float>>& batch) {
  State& s = *state_;
  const ShardBatchOptions& o = s.options;
  const int64_t epoch = s.taken / s.per_epoch, index = s.taken % s.per_epoch;
  if (o.epochs > 0 && epoch >= o.epochs) return false;
  if (epoch != s.epoch) {
    s.order.emplace(s.shard_rows, o.seed, static_cast<uint64_t>(epoch), o.buffer_rows,
                    o.block_rows);
    s.epoch = epoch;
    s.group = -1;
  }
  const int64_t begin = (index * o.world + o.rank) * o.rows;
  s.prefetch_group(s.order->group_of(begin));
  s.read(begin, std::min(begin + o.rows, s.order->rows()), batch);
  ++s.taken;
  return true;
}

int64_t ShardBatches::batches_per_epoch() const { return state_->per_epoch; }
int64_t ShardBatches::taken() const { return state_->taken; }

void ShardBatches::seek(int64_t taken) {
  if (taken < 0) user_error("invalid number of batches {}: expected 0 or more", taken);
  state_->taken = taken;
}

}  // namespace vitrine
