// SPDX-License-Identifier: MIT
#include "engine/recorded_steps.h"

#include <algorithm>

#include "base/check.h"

namespace vitrine::internal {
namespace {

/// What of a selection changes from step to step, or is too long to be noted; empty if nothing.
std::string refused_selection(const PlannedSelection& where, const Backend& backend) {
  const bool newest = where.positions.empty() || where.positions == Indices<int64_t>{-1};
  if (!newest) return "selects positions";
  if (where.cols.size() > backend.recorded_list())
    return fmt::format("selects {} separate ranges of columns", where.cols.size());
  const std::optional<int64_t> sequences = where.sequences.count();
  if (!sequences) return fmt::format("selects sequences {}", where.sequences.text());
  if (static_cast<size_t>(*sequences) > backend.recorded_list())
    return fmt::format("selects {} sequences", *sequences);
  return "";
}

std::string refused_edit(const PlannedEdit& edit, const Backend& backend) {
  if (edit.edit.kind() == Edit::Kind::kCallback) return "is edited by a callback";
  if (edit.edit.kind() == Edit::Kind::kSource) return "takes its values from another run";
  return refused_selection(edit.where, backend);
}

bool is_map(Site site) { return site_info(site).shape == SiteShape::kMap; }

}  // namespace

std::string RecordedSteps::refusal(const ModelState& model, const Plan& plan) {
  if (!model.backend->records())
    return fmt::format("{} does not record", model.backend->description());
  for (const PlannedEdit& edit : plan.edits()) {
    const std::string reason = is_map(edit.site) ? "is an edited map, which grows with each step"
                                                 : refused_edit(edit, *model.backend);
    if (!reason.empty()) return edit.name + " " + reason;
  }
  for (const PlannedCapture& capture : plan.captures()) {
    const std::string reason = is_map(capture.site)
                                   ? "is a captured map, which grows with each step"
                                   : refused_selection(capture.where, *model.backend);
    if (!reason.empty()) return capture.name + " " + reason;
  }
  return "";
}

RecordedSteps::RecordedSteps(const ModelState& model, const Plan& plan, const KvCache& cache,
                             const Batch& next, const SamplingOptions& sampling, int steps)
    : RecordedSteps(model.backend->exclusive(), model, plan, cache, next, sampling, steps) {}

RecordedSteps::RecordedSteps(const std::unique_lock<std::recursive_mutex>&, const ModelState& model,
                             const Plan& plan, const KvCache& cache, const Batch& next,
                             const SamplingOptions& sampling, int steps)
    : model_(model),
      plan_(plan),
      cache_(cache),
      pass_(model, plan, cache, PassPlan(model, plan, cache, next, LogitRows::kLast)),
      rows_(pass_.logit_matrix().rows),
      steps_(steps),
      captured_bytes_(whole_lines(pass_.layout().bytes)) {
  const size_t history_bytes = captured_bytes_ * static_cast<size_t>(steps);
  model.require_memory(history_bytes,
                       fmt::format("captures of {} steps {}", steps, megabytes(history_bytes)));
  history_ = model.pool->take(history_bytes);

  Backend& backend = *model.backend;
  const auto rows = static_cast<size_t>(rows_);
  const auto lay_out = [&](Arena& arena) {
    args_.uniforms = reinterpret_cast<double*>(
        arena.take_bytes((static_cast<size_t>(steps) + 1) * rows * sizeof(double)));
    args_.uniform = reinterpret_cast<double*>(arena.take_bytes(rows * sizeof(double)));
    args_.tokens = reinterpret_cast<int32_t*>(
        arena.take_bytes(static_cast<size_t>(steps) * rows * sizeof(int32_t)));
    args_.drawn = reinterpret_cast<int32_t*>(arena.take_bytes(rows * sizeof(int32_t)));
    args_.step = reinterpret_cast<int32_t*>(arena.take_bytes(sizeof(int32_t)));
  };
  Arena counting;
  lay_out(counting);
  numbers_ = model.pool->take(counting.used());
  Arena arena(numbers_);
  lay_out(arena);

  // A pass that watches logits has them for every row; with one row a sequence that is the same.
  args_.logits = pass_.logit_matrix();
  args_.temperature = sampling.temperature;
  args_.top_k = sampling.top_k;
  args_.top_p = sampling.top_p;
  args_.batch = &pass_.batch();
  args_.captured = pass_.captured().data();
  args_.captured_bytes = pass_.layout().bytes == 0 ? 0 : captured_bytes_;
  args_.history = history_.data();

  backend.begin_recording();
  try {
    pass_.run();
    backend.next_step(args_);
  } catch (...) {
    backend.abandon_recording();
    throw;
  }
  recording_ = backend.end_recording();
}

bool RecordedSteps::serve(const Batch& next, const SamplingOptions& sampling, int steps) const {
  const auto& slices = pass_.rows().slices;
  return steps <= steps_ && sampling.temperature == args_.temperature &&
         sampling.top_k == args_.top_k && sampling.top_p == args_.top_p &&
         std::equal(slices.begin(), slices.end(), next.begin(), next.end(),
                    [](const SequenceSlice& slice, const std::vector<int32_t>& tokens) {
                      return slice.rows == std::ssize(tokens);
                    });
}

void RecordedSteps::begin(const Batch& next, const std::vector<double>& uniforms) {
  const auto lock = model_.backend->exclusive();
  finish();
  pass_.place(cache_, next);
  const auto rows = static_cast<size_t>(rows_);
  std::vector<double> padded = uniforms;
  padded.resize(uniforms.size() + rows);  // what the last step moves on to
  const int32_t zero = 0;
  Backend& backend = *model_.backend;
  backend.upload(const_cast<double*>(args_.uniforms), padded.data(),
                 padded.size() * sizeof(double));
  backend.upload(args_.uniform, padded.data(), rows * sizeof(double));
  backend.upload(args_.step, &zero, sizeof(zero));
}

void RecordedSteps::finish() noexcept {
  if (arrivals_.empty()) return;
  try {
    arrivals_.back()();
  } catch (const std::exception&) {  // the device fails; whoever calls it next will hear of it
  }
  arrivals_.clear();
}

void RecordedSteps::step(bool watched) {
  const auto lock = model_.backend->exclusive();
  recording_->replay();
  if (!watched) return;
  const size_t bytes = static_cast<size_t>(rows_) * sizeof(int32_t);
  if (!left_) left_ = model_.host_pool->take(static_cast<size_t>(steps_) * bytes);
  const size_t at = arrivals_.size();
  arrivals_.push_back(model_.backend->download_later(
      left_.data() + at * bytes, args_.tokens + static_cast<int64_t>(at) * rows_, bytes));
}

std::vector<int32_t> RecordedSteps::tokens(int first, int count) {
  std::vector<int32_t> ids(static_cast<size_t>(count * rows_));
  const size_t bytes = ids.size() * sizeof(int32_t);
  if (!arrivals_.empty()) {
    arrivals_[static_cast<size_t>(first + count) - 1]();
    const auto* left = reinterpret_cast<const int32_t*>(left_.data());
    std::copy_n(left + first * rows_, ids.size(), ids.data());
    return ids;
  }
  const auto lock = model_.backend->exclusive();
  model_.backend->download(ids.data(), args_.tokens + first * rows_, bytes);
  return ids;
}

void RecordedSteps::collect(int steps, const std::vector<int>& lasted,
                            CaptureCollector& collector) {
  if (args_.captured_bytes == 0) return;
  const auto lock = model_.backend->exclusive();
  const Buffer host = model_.host_pool->take(captured_bytes_ * static_cast<size_t>(steps));
  model_.backend->download(host.data(), history_.data(),
                           captured_bytes_ * static_cast<size_t>(steps));
  std::vector<SequenceSlice> slices = pass_.rows().slices;
  const auto whole = std::make_shared<const Buffer>(host);
  for (int step = 0; step < steps; ++step) {
    CaptureLayout layout(plan_, slices, model_.config);
    for (CaptureLayout::Item& item : layout.items) {
      for (size_t s = 0; s < item.sequences.size(); ++s) {
        if (lasted[s] <= step) item.sequences[s].rows.clear(), item.sequences[s].positions.clear();
      }
    }
    std::byte* data = host.data() + static_cast<size_t>(step) * captured_bytes_;
    collector.add(plan_, layout,
                  Buffer(data, captured_bytes_, std::const_pointer_cast<Buffer>(whole)), nullptr);
    for (SequenceSlice& slice : slices) slice.past += slice.rows;
  }
}

}  // namespace vitrine::internal
