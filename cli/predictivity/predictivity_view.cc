// SPDX-License-Identifier: MIT
#include "cli/predictivity/predictivity_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "vitrine/tokenizer.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr size_t kMostNames = 5, kMaxSiteLabel = 16, kFullBar = 24;

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

std::string with_interval(double score, const Interval& interval) {
  return fmt::format("{:+.3f} {:<15}", score,
                     std::isnan(interval.low)
                         ? ""
                         : fmt::format("[{:+.3f} {:+.3f}]", interval.low, interval.high));
}

class ScoreTable {
 public:
  ScoreTable(const Predictivity& found, const std::vector<std::string>& sites, const Terminal& out)
      : found_(found), sites_(sites), out_(out) {
    for (const std::string& site : sites) label_ = std::max(label_, display_width(site));
    label_ = std::min(label_, kMaxSiteLabel);
    const size_t rest = label_ + 2 + 22 + (found.controls.empty() ? 0 : 11 + 24) + 5;
    // Wider than a blank, a bar and its gap.
    bar_ = out.width() > rest + 6 ? std::min(kFullBar, out.width() - rest - 2) : 0;
    for (const PredictivityScore& site : found.sites) full_ = std::max(full_, site.score);
  }

  std::string draw(const std::vector<std::string>& verdicts) const {
    const char* score = found_.ceiled ? "r / ceiling" : "r";
    std::string head = left("site", label_) + "  ";
    if (bar_ > 0) head += left(score, bar_) + "  ";
    head += left(bar_ > 0 ? "95 %" : fmt::format("{}, 95 %", score), 22);
    if (!found_.controls.empty()) head += "  untrained  gained, 95 %";
    std::string text = out_.paint(Style::kDim, trimmed(head)) + "\n";
    for (size_t i = 0; i < sites_.size(); ++i) text += line(i, verdicts[i]) + "\n";
    return text + out_.paint(Style::kDim, trimmed(begin(found_.baseline.name, found_.baseline))) +
           "\n";
  }

 private:
  std::string begin(const std::string& name, const PredictivityScore& score) const {
    const double part = full_ > 0 ? std::clamp(score.score / full_, 0.0, 1.0) : 0.0;
    return left(name, label_) + "  " + (bar_ > 0 ? bar(part, bar_) + "  " : "") +
           with_interval(score.score, score.interval);
  }
  std::string line(size_t i, const std::string& verdict) const {
    std::string text = begin(sites_[i], found_.sites[i]);
    if (!found_.controls.empty()) {
      const PredictivityControl& control = found_.controls[i];
      text += fmt::format("  {:>+9.3f}  {}", control.score,
                          with_interval(control.advantage, control.advantage_interval));
    }
    if (verdict == "best") text += " best";
    if (verdict == "not distinguishable") text += " ≈";
    return i == found_.best ? out_.paint(Style::kBest, text) : trimmed(text);
  }

  const Predictivity& found_;
  const std::vector<std::string>& sites_;
  const Terminal& out_;
  size_t label_ = display_width(found_.baseline.name), bar_ = 0;
  double full_ = 0;
};

}  // namespace

std::string draw_predictivity(const Predictivity& found, const Result& described,
                              const Terminal& out) {
  const auto& panel = std::get<LinesPanel>(described.panels[0]);
  const std::vector<Leaf> all = leaves(described);
  const auto& verdicts = std::get<std::vector<std::string>>(
      std::ranges::find(all, "verdict", &Leaf::name)->field->values);
  std::string text = ScoreTable(found, panel.x, out).draw(verdicts);
  if (std::ranges::find(verdicts, "not distinguishable") != verdicts.end())
    text += out.paint(Style::kDim, "≈: not distinguishable from the best") + "\n";
  text += "\n" + described.facts.find("in_words")->text() + "\n";
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

}  // namespace vitrine::cli
