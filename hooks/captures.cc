// SPDX-License-Identifier: MIT
#include "vitrine/captures.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

bool is_map(Site site) { return site_info(site).shape == SiteShape::kMap; }

}  // namespace

bool Captures::has(std::string_view name) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& e) { return e.name == name; });
}

const Captures::Entry& Captures::entry(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& e) { return e.name == name; });
  if (found != entries_.end()) return *found;
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min<size_t>(entries_.size(), 8); ++i)
    names.push_back(entries_[i].name);
  user_error("site '{}' was not captured: expected one of {}{}", name,
             entries_.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")),
             entries_.size() > names.size() ? ", ..." : "");
}

TensorView Captures::view(std::string_view name, int sequence) const {
  const Entry& e = entry(name);
  if (sequence < 0 || static_cast<size_t>(sequence) >= e.sequences.size()) {
    user_error("sequence {} of site '{}' is out of range: expected 0..{}", sequence, name,
               static_cast<int64_t>(e.sequences.size()) - 1);
  }
  return e.sequences[static_cast<size_t>(sequence)].values;
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

std::optional<std::vector<float>> Captures::row(Site site, int layer, int sequence,
                                                int64_t position) const {
  for (const Entry& e : entries_) {
    if (e.site != site || e.layer != layer || e.sequences.empty()) continue;
    const size_t s = e.sequences.size() == 1 ? 0 : static_cast<size_t>(sequence);
    if (s >= e.sequences.size()) return std::nullopt;
    const Entry::Sequence& data = e.sequences[s];
    const auto found = std::find(data.positions.begin(), data.positions.end(), position);
    if (found == data.positions.end()) return std::nullopt;
    const int64_t index = found - data.positions.begin();
    if (!is_map(site)) return data.values.slice(index).to_f32();
    std::vector<float> rows;  // of every captured head, one after the other
    for (int64_t head = 0; head < data.values.shape()[0]; ++head) {
      const std::vector<float> keys = data.values.slice(head).slice(index).to_f32();
      rows.insert(rows.end(), keys.begin(), keys.end());
    }
    return rows;
  }
  return std::nullopt;
}

}  // namespace vitrine
