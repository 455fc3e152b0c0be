// SPDX-License-Identifier: MIT
#include "vitrine/running_moments.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"
#include "engine/model_state.h"

namespace vitrine {
using namespace internal;
namespace {

/// The sums of one part, in a buffer of the backend.
struct Part {
  int64_t width = 0;
  int64_t observations = 0;
  Buffer memory;

  double* products() const { return reinterpret_cast<double*>(memory.data()); }  // [width, width]
  double* pending() const { return products() + width * width; }      // [kMomentsBlock, width]
  double* mean() const { return pending() + kMomentsBlock * width; }  // [width]
  double* origin() const { return mean() + width; }                   // [width]
  int64_t waiting() const { return observations % kMomentsBlock; }
  double joined() const { return static_cast<double>(observations - waiting()); }
};

size_t part_bytes(int64_t width) {
  constexpr int64_t kMost =
      int64_t{1} << 22;  // whose matrix is beyond any machine, and its bytes still a number
  if (width < 1 || width > kMost)
    user_error("invalid width {} of moments: expected 1..{}", width, kMost);
  return static_cast<size_t>(width) * static_cast<size_t>(width + kMomentsBlock + 2) *
         sizeof(double);
}

}  // namespace

struct RunningMoments::State {
  Model model;
  std::vector<Part> parts;
  Buffer flags;  ///< [parts] int32_t: whether a NaN or an infinity came

  Backend& backend() const { return *state_of(model).backend; }
  Part& part(int index) {
    if (index < 0 || index >= static_cast<int>(parts.size()))
      user_error("part {} is out of range: there are {} parts", index, parts.size());
    return parts[static_cast<size_t>(index)];
  }
  int32_t* flag(int index) const { return reinterpret_cast<int32_t*>(flags.data()) + index; }

  void add(int index, Mat rows);
};

/// Fills the pending block, and joins it each time that it is full.
void RunningMoments::State::add(int index, Mat rows) {
  Part& to = part(index);
  if (to.observations == 0)
    backend().widen(rows.row_range(0, 1), nullptr, to.origin(), flag(index));
  for (int64_t begin = 0; begin < rows.rows;) {
    const int64_t waiting = to.waiting(),
                  count = std::min(rows.rows - begin, kMomentsBlock - waiting);
    backend().widen(rows.row_range(begin, count), to.origin(), to.pending() + waiting * to.width,
                    flag(index));
    if (waiting + count == kMomentsBlock) {
      backend().join_moments({.x = to.pending(),
                              .rows = kMomentsBlock,
                              .width = to.width,
                              .weight = to.joined(),
                              .mean = to.mean(),
                              .products = to.products()});
    }
    to.observations += count;
    begin += count;
  }
}

RunningMoments::RunningMoments(const Model& model, const std::vector<int64_t>& widths)
    : state_(std::make_unique<State>(State{model, {}, {}})) {
  if (widths.empty()) user_error("missing widths of moments: expected at least one");
  size_t bytes = 0;
  for (const int64_t width : widths) bytes += part_bytes(width);
  state_of(model).require_memory(bytes, fmt::format("the moments of {} sites", widths.size()));
  Backend& backend = state_->backend();
  const auto lock = backend.exclusive();
  for (const int64_t width : widths) {
    state_->parts.push_back({.width = width, .memory = backend.allocate(part_bytes(width))});
    backend.clear(state_->parts.back().memory.data(), part_bytes(width));
  }
  state_->flags = backend.allocate(widths.size() * sizeof(int32_t));
  backend.clear(state_->flags.data(), widths.size() * sizeof(int32_t));
}

RunningMoments::RunningMoments(RunningMoments&&) noexcept = default;
RunningMoments& RunningMoments::operator=(RunningMoments&&) noexcept = default;
RunningMoments::~RunningMoments() = default;

void RunningMoments::add(int part, TensorView rows, int64_t begin, int64_t count) {
  const int64_t width = state_->part(part).width;
  const int64_t there = rows.shape().rank() > 0 ? rows.shape()[0] : 0;
  if (rows.elements() != there * width)
    user_error("rows of a tensor {} have the wrong width: expected {}", rows.shape().to_string(),
               width);
  if (begin < 0 || count < 0 || begin > there || count > there - begin)
    user_error("rows {} to {} are out of range: there are {}", begin, begin + count, there);
  if (rows.dtype() != DType::kF32 && rows.dtype() != DType::kF16 && rows.dtype() != DType::kBF16) {
    user_error("rows are {}: expected f32, f16 or bf16", dtype_name(rows.dtype()));
  }
  if (count == 0) return;
  Backend& backend = state_->backend();
  const auto lock = backend.exclusive();
  const auto row_bytes = static_cast<size_t>(width) * dtype_size(rows.dtype());
  auto* data = static_cast<std::byte*>(const_cast<void*>(rows.data())) +
               static_cast<size_t>(begin) * row_bytes;  // nothing writes to them
  Buffer placed;
  if (rows.residence() == Residence::kHost && !backend.host_memory()) {
    placed = state_of(state_->model).pool->take(static_cast<size_t>(count) * row_bytes);
    backend.upload(placed.data(), data, static_cast<size_t>(count) * row_bytes);
    data = placed.data();
  }
  state_->add(part, {data, count, width, width, rows.dtype()});
}

int RunningMoments::spoiled() const {
  std::vector<int32_t> flags(state_->parts.size());
  const auto lock = state_->backend().exclusive();
  state_->backend().download(flags.data(), state_->flags.data(), flags.size() * sizeof(int32_t));
  const auto found = std::find(flags.begin(), flags.end(), 1);
  return found == flags.end() ? -1 : static_cast<int>(found - flags.begin());
}

MomentSums RunningMoments::sums(int part) const {
  const Part& from = state_->part(part);
  const auto lock = state_->backend().exclusive();
  const auto bring = [&](const double* data, int64_t count) {
    std::vector<double> values(static_cast<size_t>(count));
    state_->backend().download(values.data(), data, values.size() * sizeof(double));
    return values;
  };
  return {.observations = from.observations,
          .origin = bring(from.origin(), from.observations > 0 ? from.width : 0),
          .mean = bring(from.mean(), from.width),
          .products = bring(from.products(), from.width * from.width),
          .pending = bring(from.pending(), from.waiting() * from.width)};
}

void RunningMoments::set(int part, const MomentSums& sums) {
  Part& to = state_->part(part);
  const auto fits = [](const std::vector<double>& values, int64_t count) {
    return static_cast<int64_t>(values.size()) == count;
  };
  const int64_t width = to.width;
  const bool whole = sums.observations >= 0 &&
                     fits(sums.origin, sums.observations > 0 ? width : 0) &&
                     fits(sums.mean, width) && fits(sums.products, width * width) &&
                     fits(sums.pending, sums.observations % kMomentsBlock * width);
  if (!whole)
    user_error("sums of {} observations do not match a part of width {}", sums.observations, width);
  const auto lock = state_->backend().exclusive();
  const auto place = [&](double* data, const std::vector<double>& values) {
    if (!values.empty())
      state_->backend().upload(data, values.data(), values.size() * sizeof(double));
  };
  to.observations = sums.observations;
  place(to.origin(), sums.origin);
  place(to.mean(), sums.mean);
  place(to.products(), sums.products);
  place(to.pending(), sums.pending);
}

}  // namespace vitrine
