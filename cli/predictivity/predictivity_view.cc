// SPDX-License-Identifier: MIT
#include "cli/predictivity/predictivity_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/core/arrays.h"
#include "vitrine/tokenizer.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr size_t kMostNames = 5;

std::string interval_text(const Interval& interval) {
  return std::isnan(interval.low) ? std::string(15, ' ')
                                  : fmt::format("[{:+.3f} {:+.3f}]", interval.low, interval.high);
}

class Table {
 public:
  Table(const Predictivity& found, const Terminal& out) : found_(found), out_(out) {
    for (const PredictivityScore& site : found.sites)
      name_ = std::max(name_, display_width(site.name));
    name_ = std::clamp<size_t>(name_, 16, 40);
    const size_t rest =
        name_ + 2 + 7 + 1 + 15 + (found.controls.empty() ? 0 : 2 + 7 + 2 + 7 + 1 + 15) + 2;
    bar_ = out.width() == 0 || out.width() > rest + 30 ? 24
           : out.width() > rest + 6                    ? out.width() - rest - 6
                                                       : 0;
    for (const PredictivityScore& site : found.sites) full_ = std::max(full_, site.score);
  }

  std::string draw() const {
    const char* score = found_.ceiled ? "r / ceiling" : "r";
    std::string head = fmt::format("{}  {:<{}}  {:<23}", left("site", name_), score,
                                   bar_ == 0 ? 0 : bar_, found_.ceiled ? "r / c, 95 %" : "r, 95 %");
    if (!found_.controls.empty()) head += "  untrained  gained, 95 %";
    std::string text = out_.paint(Style::kDim, trimmed(head)) + "\n";
    for (size_t i = 0; i < found_.sites.size(); ++i) text += line(i);
    return text + baseline();
  }

 private:
  static std::string trimmed(std::string text) {
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  }
  std::string bar_of(double score) const {
    return bar_ == 0 ? "" : bar(full_ > 0 ? std::clamp(score / full_, 0.0, 1.0) : 0.0, bar_) + "  ";
  }
  std::string line(size_t i) const {
    const PredictivityScore& site = found_.sites[i];
    std::string text = fmt::format("{}  {}{:+.3f} {}", left(site.name, name_), bar_of(site.score),
                                   site.score, interval_text(site.interval));
    if (!found_.controls.empty()) {
      const PredictivityControl& control = found_.controls[i];
      text += fmt::format("     {:+.3f}  {:+.3f} {}", control.score, control.advantage,
                          interval_text(control.advantage_interval));
    }
    text = trimmed(text);
    return i == found_.best ? out_.paint(Style::kBest, text + (out_.color() ? "" : "  best")) + "\n"
                            : text + "\n";
  }
  std::string baseline() const {
    const PredictivityScore& b = found_.baseline;
    return out_.paint(Style::kDim,
                      trimmed(fmt::format("{}  {}{:+.3f} {}", left(b.name, name_), bar_of(b.score),
                                          b.score, interval_text(b.interval)))) +
           "\n";
  }

  const Predictivity& found_;
  const Terminal& out_;
  size_t name_ = 0, bar_ = 0;
  double full_ = 0;
};

JsonValue interval_json(const Interval& interval) { return {interval.low, interval.high}; }

JsonValue score_json(const PredictivityScore& score) {
  return {{"name", score.name},         {"layer", score.layer},
          {"features", score.features}, {"r", score.r},
          {"score", score.score},       {"interval", interval_json(score.interval)},
          {"subjects", score.subjects}, {"neuroids", score.neuroids},
          {"alphas", score.alphas}};
}

Tensor intervals(const std::vector<Interval>& list) {
  std::vector<double> values;
  for (const Interval& interval : list) values.insert(values.end(), {interval.low, interval.high});
  return tensor_of(DType::kF64, values, {static_cast<int64_t>(list.size()), 2});
}

void add_controls(const Predictivity& found, Arrays& arrays) {
  const auto rows = static_cast<int64_t>(found.controls.size());
  std::vector<double> scores, advantages;
  std::vector<Interval> around, advantage;
  for (const PredictivityControl& control : found.controls) {
    scores.insert(scores.end(), control.scores.begin(), control.scores.end());
    advantages.push_back(control.advantage);
    around.push_back(control.interval);
    advantage.push_back(control.advantage_interval);
  }
  arrays.emplace_back(
      "control_scores",
      tensor_of(DType::kF64, scores, {rows, static_cast<int64_t>(scores.size()) / rows}));
  arrays.emplace_back("control_intervals", intervals(around));
  arrays.emplace_back("advantages", tensor_of(DType::kF64, advantages, {rows}));
  arrays.emplace_back("advantage_intervals", intervals(advantage));
}

}  // namespace

std::string draw_predictivity(const Predictivity& found, const Terminal& out) {
  std::string text = Table(found, out).draw();
  const PredictivityScore& best = found.sites[found.best];
  text += fmt::format("\nbest: {}, {} {:.3f}{}\n", best.name, found.ceiled ? "r / ceiling" : "r",
                      best.score, found.ceiled ? fmt::format(" (r {:.3f})", best.r) : "");
  if (!found.constant.empty()) {
    text += fmt::format(
        "{} of {} neuroids have no score, because their responses are constant within or outside a "
        "fold:",
        found.constant.size(), found.neuroids);
    for (size_t i = 0; i < std::min(kMostNames, found.constant.size()); ++i) {
      text += fmt::format("{} {}", i == 0 ? "" : ",",
                          printable(found.neuroid_names[static_cast<size_t>(found.constant[i])]));
    }
    text += found.constant.size() > kMostNames ? ", ... (--json: all)\n" : "\n";
  }
  if (found.cut > 0)
    text += fmt::format("{} of {} stimuli have a truncated context, which exceeds the model's\n",
                        found.cut, found.stimuli);
  return text;
}

JsonValue predictivity_json(const Predictivity& found) {
  JsonValue json = {{"stimuli", found.stimuli},
                    {"groups", found.groups},
                    {"subjects", found.subjects},
                    {"neuroids", found.neuroid_names},
                    {"neuroid_subjects", found.neuroid_subjects},
                    {"folds", found.folds},
                    {"cut", found.cut},
                    {"ceiled", found.ceiled},
                    {"constant", found.constant},
                    {"best", found.sites[found.best].name},
                    {"baseline", score_json(found.baseline)}};
  for (size_t i = 0; i < found.sites.size(); ++i) {
    JsonValue site = score_json(found.sites[i]);
    if (!found.controls.empty()) {
      const PredictivityControl& control = found.controls[i];
      site["control"] = {{"score", control.score},
                         {"scores", control.scores},
                         {"interval", interval_json(control.interval)},
                         {"advantage", control.advantage},
                         {"advantage_interval", interval_json(control.advantage_interval)}};
    }
    json["sites"].push_back(std::move(site));
  }
  return json;
}

void save_predictivity(const Predictivity& found, const std::string& path,
                       std::map<std::string, std::string> metadata) {
  const auto rows = static_cast<int64_t>(found.sites.size());
  std::vector<double> r, scores, subjects;
  std::vector<Interval> around;
  for (const PredictivityScore& site : found.sites) {
    r.insert(r.end(), site.neuroids.begin(), site.neuroids.end());
    subjects.insert(subjects.end(), site.subjects.begin(), site.subjects.end());
    scores.push_back(site.score);
    around.push_back(site.interval);
    metadata["sites"] += (metadata["sites"].empty() ? "" : ",") + site.name;
  }
  Arrays arrays = {
      {"r", tensor_of(DType::kF64, r, {rows, found.neuroids})},
      {"scores", tensor_of(DType::kF64, scores, {rows})},
      {"intervals", intervals(around)},
      {"subjects",
       tensor_of(DType::kF64, subjects, {rows, static_cast<int64_t>(found.subjects.size())})},
      {"baseline_r", tensor_of(DType::kF64, found.baseline.neuroids, {found.neuroids})},
      {"folds", tensor_of(DType::kI32, found.folds, {found.stimuli})}};
  if (rows > 0 && !found.controls.empty()) add_controls(found, arrays);
  write_arrays(path, arrays, metadata);
}

}  // namespace vitrine::cli
