// SPDX-License-Identifier: MIT
#include "analysis/corpus/shard.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/quote.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::internal {
namespace {

constexpr uint64_t kDefaultShardBytes = 128'000'000;
constexpr double kMaxShardBytes = 64e9;

/// Appends a row of float32.
void add_int8(std::span<const std::byte> row, std::vector<std::byte>& values,
              std::vector<float>& scales) {
  std::vector<float> floats(row.size() / sizeof(float));
  std::memcpy(floats.data(), row.data(), row.size());
  const size_t begin = values.size();
  values.resize(begin + floats.size());
  scales.push_back(
      quantize_row(floats, {reinterpret_cast<int8_t*>(values.data() + begin), floats.size()}));
}

}  // namespace

bool has_sparse_rows(const std::vector<WindowSite>& sites, const WindowOptions& windows) {
  return windows.overlap > 0 || std::any_of(sites.begin(), sites.end(), [](const WindowSite& site) {
           return !site.positions.empty();
         });
}

int64_t shard_limit(const std::vector<WindowSite>& sites, const WindowOptions& windows,
                    int64_t requested) {
  if (requested < 0)
    user_error("invalid shard size of {} tokens: expected 1 or more, or 0 for about 128 MB",
               requested);
  const uint64_t token_bytes = CorpusShard::bytes(sites, has_sparse_rows(sites, windows), 1);
  const double bytes = static_cast<double>(token_bytes) * static_cast<double>(requested);
  if (bytes > kMaxShardBytes) {
    user_error("a shard of {} tokens takes {} of memory, twice: expected at most {} tokens",
               requested, human_bytes(bytes),
               static_cast<int64_t>(kMaxShardBytes / static_cast<double>(token_bytes)));
  }
  if (requested > 0) return std::max(requested, windows.window);
  return std::max(static_cast<int64_t>(kDefaultShardBytes / token_bytes), windows.window);
}

CorpusShard::CorpusShard(const std::vector<WindowSite>& sites, bool sparse, int64_t tokens)
    : sites_(sites), sparse_(sparse), limit_(tokens), rows_(sites.size()) {
  for (size_t i = 0; i < sites.size(); ++i)
    rows_[i].values.reserve(static_cast<size_t>(sites[i].width()) * dtype_size(sites[i].stored()) *
                            static_cast<size_t>(tokens));
  clear();
}

void CorpusShard::clear() {
  tokens_ = new_tokens_ = 0;
  ids_.clear();
  for (auto* list : {&documents_, &begins_, &repeated_}) list->clear();
  offsets_.assign(1, 0);
  tally_.clear();
  for (Rows& rows : rows_) {
    rows.values.clear();
    rows.scales.clear();
    rows.positions.clear();
    rows.offsets.assign(1, 0);
  }
}

void CorpusShard::add(const WindowBatch& batch, size_t s) {
  const Window& window = batch.windows[s];
  tokens_ += static_cast<int64_t>(window.ids.size());
  new_tokens_ += window.new_tokens();
  digest_ = batch.digests[s];
  ids_.insert(ids_.end(), window.ids.begin(), window.ids.end());
  offsets_.push_back(tokens_);
  documents_.push_back(window.document);
  begins_.push_back(window.begin);
  repeated_.push_back(window.repeated);
  for (size_t i = 0; i < sites_.size(); ++i) {
    const Captures::Entry& entry = batch.run.captures().entry(sites_[i].name);
    const auto& sequence = entry.sequences[s];
    const auto bytes = sequence.values.host_bytes();
    const size_t row_bytes = sites_[i].row_bytes();
    Rows& rows = rows_[i];
    const std::vector<size_t> kept = WindowBatches::kept_rows(sites_[i], sequence, window);
    tally_.add(entry, sequence, window.document, window.begin, &kept);
    for (const size_t row : kept) {
      const auto from = bytes.subspan(row * row_bytes, row_bytes);
      if (sites_[i].int8)
        add_int8(from, rows.values, rows.scales);
      else
        rows.values.insert(rows.values.end(), from.begin(), from.end());
      rows.positions.push_back(sequence.positions[row]);
    }
    rows.offsets.push_back(static_cast<int64_t>(rows.positions.size()));
  }
}

int64_t CorpusShard::documents_begun() const {
  return std::count(begins_.begin(), begins_.end(), 0);
}

StoredRows CorpusShard::rows_of(size_t site) const {
  std::vector<int64_t> sizes = {static_cast<int64_t>(rows_[site].positions.size())};
  sizes.insert(sizes.end(), sites_[site].row.begin(), sites_[site].row.end());
  return {TensorView(rows_[site].values.data(), sites_[site].stored(), Shape(sizes)),
          rows_[site].scales};
}

StoredRows CorpusShard::rows(const std::string& site) const {
  const auto found = std::find_if(sites_.begin(), sites_.end(),
                                  [&](const WindowSite& one) { return one.name == site; });
  return rows_of(static_cast<size_t>(found - sites_.begin()));
}

uint64_t CorpusShard::bytes(const std::vector<WindowSite>& sites, bool sparse, int64_t tokens) {
  uint64_t token_bytes = sizeof(int32_t);
  for (const WindowSite& site : sites)
    token_bytes += site.stored_bytes() + (sparse ? sizeof(int64_t) : 0);
  return token_bytes * static_cast<uint64_t>(tokens);
}

uint64_t CorpusShard::write(const std::filesystem::path& path) const {
  std::vector<std::pair<std::string, TensorView>> tensors;
  const auto list = [&](const std::string& name, const std::vector<int64_t>& values) {
    tensors.emplace_back(
        name, TensorView(values.data(), DType::kI64, Shape{static_cast<int64_t>(values.size())}));
  };
  tensors.emplace_back("ids", TensorView(ids_.data(), DType::kI32, Shape{tokens_}));
  list("offsets", offsets_);
  list("documents", documents_);
  list("begins", begins_);
  list("repeated", repeated_);
  for (size_t i = 0; i < sites_.size(); ++i) {
    const StoredRows rows = rows_of(i);
    tensors.emplace_back(sites_[i].name, rows.values);
    if (sites_[i].int8)
      tensors.emplace_back(sites_[i].name + ".scales",
                           TensorView(rows.scales.data(), DType::kF32, Shape{rows.rows()}));
    if (!sparse_) continue;
    list(sites_[i].name + ".positions", rows_[i].positions);
    list(sites_[i].name + ".offsets", rows_[i].offsets);
  }
  return SafetensorsWriter::write(path, tensors);
}

}  // namespace vitrine::internal
