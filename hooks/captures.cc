// SPDX-License-Identifier: MIT
#include "vitrine/captures.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

bool is_map(Site site) { return site_info(site).shape == SiteShape::kMap; }

TensorView values_of(const Captures::Entry& entry, int sequence) {
  if (sequence < 0 || static_cast<size_t>(sequence) >= entry.sequences.size()) {
    user_error("sequence {} of site '{}' is out of range: expected 0..{}", sequence, entry.name,
               static_cast<int64_t>(entry.sequences.size()) - 1);
  }
  return entry.sequences[static_cast<size_t>(sequence)].values;
}

}  // namespace

const Captures::Entry* Captures::find(Site site, int layer) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) {
    return e.site == site && e.layer == layer;
  });
  return found == entries_.end() ? nullptr : &*found;
}

TensorView Captures::Entry::rows() const {
  if (is_map(site))
    user_error("the rows of '{}' have no common shape, for it is a map: use the views of sequences",
               name);
  if (sequences.empty()) return {};
  const TensorView& first = sequences.front().values;
  const std::span<const int64_t> sizes = first.shape().sizes();
  std::vector<int64_t> all(sizes.begin(), sizes.end());
  all[0] = offsets().back();
  return {first.data(), dtype, Shape(all), first.residence()};
}

std::vector<int64_t> Captures::Entry::offsets() const {
  std::vector<int64_t> offsets = {0};
  for (const Sequence& sequence : sequences)
    offsets.push_back(offsets.back() + std::ssize(sequence.positions));
  return offsets;
}

bool Captures::has(std::string_view name) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& e) { return e.name == name; });
}

bool Captures::has(Site site, int layer) const { return find(site, layer) != nullptr; }

const Captures::Entry& Captures::entry(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& e) { return e.name == name; });
  if (found == entries_.end()) fail_not_captured(name);
  return *found;
}

const Captures::Entry& Captures::entry(Site site, int layer) const {
  const Entry* found = find(site, layer);
  if (found == nullptr) fail_not_captured(site_name(site, layer));
  return *found;
}

void Captures::fail_not_captured(std::string_view name) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min<size_t>(entries_.size(), 8); ++i)
    names.push_back(entries_[i].name);
  user_error("site '{}' was not captured: expected one of {}{}", name,
             entries_.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")),
             entries_.size() > names.size() ? ", ..." : "");
}

TensorView Captures::view(std::string_view name, int sequence) const {
  return values_of(entry(name), sequence);
}

TensorView Captures::view(Site site, int layer, int sequence) const {
  return values_of(entry(site, layer), sequence);
}

Tensor Captures::mean(std::string_view name) const {
  const Entry& e = entry(name);
  if (is_map(e.site))
    user_error("cannot average '{}': expected a site with rows of one width, not a map", name);
  std::vector<double> sum;
  int64_t rows = 0;
  for (const Entry::Sequence& sequence : e.sequences) {
    const int64_t count = static_cast<int64_t>(sequence.positions.size());
    if (count == 0) continue;
    const std::vector<float> values = sequence.values.to_f32();
    sum.resize(values.size() / static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) sum[i % sum.size()] += values[i];
    rows += count;
  }
  if (rows == 0) user_error("cannot average '{}': no positions were captured", name);
  Tensor mean(DType::kF32, Shape{static_cast<int64_t>(sum.size())});
  std::transform(sum.begin(), sum.end(), mean.f32().begin(),
                 [&](double x) { return static_cast<float>(x / static_cast<double>(rows)); });
  return mean;
}

namespace {

/// A captured row: the sequence that holds it, and its index there.
struct Located {
  const Captures::Entry::Sequence* sequence;
  int64_t index;
};

std::optional<Located> locate(const Captures::Entry* entry, int sequence, int64_t position) {
  if (entry == nullptr || entry->sequences.empty()) return std::nullopt;
  const size_t s = entry->sequences.size() == 1 ? 0 : static_cast<size_t>(sequence);
  if (s >= entry->sequences.size()) return std::nullopt;
  const std::vector<int64_t>& positions = entry->sequences[s].positions;
  const auto found = std::lower_bound(positions.begin(), positions.end(), position);
  if (found == positions.end() || *found != position) return std::nullopt;
  return Located{&entry->sequences[s], found - positions.begin()};
}

}  // namespace

std::optional<std::vector<float>> Captures::row(Site site, int layer, int sequence,
                                                int64_t position) const {
  const auto found = locate(find(site, layer), sequence, position);
  if (!found) return std::nullopt;
  const TensorView& values = found->sequence->values;
  if (!is_map(site)) return values.slice(found->index).to_f32();
  std::vector<float> rows;  // of every captured head, one after the other
  for (int64_t head = 0; head < values.shape()[0]; ++head) {
    const std::vector<float> keys = values.slice(head).slice(found->index).to_f32();
    rows.insert(rows.end(), keys.begin(), keys.end());
  }
  return rows;
}

std::optional<int64_t> Captures::map_heads(Site site, int layer) const {
  const Entry* found = find(site, layer);
  if (!found || !is_map(site)) return std::nullopt;
  return std::ssize(found->heads);
}

std::optional<TensorView> Captures::row_view(Site site, int layer, int sequence,
                                             int64_t position) const {
  if (is_map(site)) return std::nullopt;  // a map's row is in as many pieces as there are heads
  const auto found = locate(find(site, layer), sequence, position);
  if (!found) return std::nullopt;
  return found->sequence->values.slice(found->index);
}

std::optional<TensorView> Captures::map_row_view(Site site, int layer, int sequence,
                                                 int64_t position, int64_t head) const {
  if (!is_map(site)) return std::nullopt;
  const auto found = locate(find(site, layer), sequence, position);
  if (!found) return std::nullopt;
  return found->sequence->values.slice(head).slice(found->index);
}

}  // namespace vitrine
