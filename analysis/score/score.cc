// SPDX-License-Identifier: MIT
#include "vitrine/analysis/score.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>

#include "analysis/common/options.h"
#include "analysis/score/windows.h"

namespace vitrine {
using namespace internal;
namespace {

void check_range(int64_t value, int64_t max, std::string_view name, std::string_view max_name) {
  if (value < 1 || value > max)
    user_error("{} {} is out of range: expected 1..{}, the {}", name, value, max, max_name);
}

void check_ids(const Config& config, std::span<const int32_t> ids) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= config.vocab) {
      user_error("token id {} at position {} is out of range: expected 0..{}", ids[i], i,
                 config.vocab - 1);
    }
  }
}

/// Runs `inputs` and shows the successors of its rows [first, inputs.size()).
void run_window(const Model& model, const ModelOutput& output, std::span<const int32_t> inputs,
                std::span<const int32_t> successors, int64_t first, const Hooks& edits,
                int64_t position, const std::function<void(const ScoredWindow&)>& see) {
  Hooks hooks = edits;
  Where rows;
  if (first > 0) rows.positions.add_range(first, -1);
  hooks.capture(output.site(), rows);
  const Run run =
      model.forward(inputs, hooks, {.logits = LogitRows::kNone, .residence = Residence::kDevice});
  see({output, inputs, run.view(output.site()), successors.subspan(static_cast<size_t>(first)),
       position, first + 1});
}

}  // namespace

double Score::total_nats() const {
  return std::accumulate(tokens.begin(), tokens.end(), 0.0,
                         [](double sum, const TokenScore& token) { return sum + token.loss; });
}

double Score::mean_nats() const { return total_nats() / static_cast<double>(tokens.size()); }
double Score::mean_bits() const { return mean_nats() / std::numbers::ln2; }
double Score::perplexity() const { return std::exp(mean_nats()); }

void internal::append_scores(const Model& model, const ScoredWindow& window, const Hooks& edits,
                             std::vector<TokenScore>& tokens) {
  const LogitStats stats = window.output.statistics(
      window.rows, {.top_k = 1, .targets = {window.targets.begin(), window.targets.end()}});
  require_distributions(
      stats, model, {{window.inputs.begin(), window.inputs.end()}}, edits,
      fmt::format("the score of the tokens from position {} on", window.position));
  for (size_t r = 0; r < window.targets.size(); ++r) {
    const double lse = stats.lse[r];
    tokens.push_back({.position = window.position + static_cast<int64_t>(r),
                      .id = window.targets[r],
                      .context = window.context + static_cast<int64_t>(r),
                      .loss = lse - static_cast<double>(stats.target_logits[r]),
                      .entropy = stats.entropy[r],
                      .rank = stats.target_ranks[r],
                      .top_id = stats.top_ids[r],
                      .top_loss = lse - static_cast<double>(stats.top_logits[r])});
  }
}

Score internal::slide_window(const Model& model, std::span<const int32_t> ids,
                             const ScoreOptions& options,
                             const std::function<void(const ScoredWindow&)>& see) {
  const Config& config = model.config();
  Score result;
  result.window = options.window == 0 ? config.context : options.window;
  check_range(result.window, config.context, "window", "model's context");
  result.stride = options.stride == 0 ? (result.window + 1) / 2 : options.stride;
  check_range(result.stride, result.window, "stride", "window");
  result.prepend = std::max(options.prepend, -1);
  if (result.prepend >= config.vocab)
    user_error("the prepended id {} is out of range: expected 0..{}", result.prepend,
               config.vocab - 1);
  if (ids.empty()) user_error("the text is empty: expected at least one token");
  check_ids(config, ids);
  if (result.prepend < 0) result.first = ids[0];

  std::vector<int32_t> text;
  if (result.prepend >= 0) text.push_back(result.prepend);
  const auto prepended = static_cast<int64_t>(text.size());
  text.insert(text.end(), ids.begin(), ids.end());
  const auto length = static_cast<int64_t>(text.size());
  if (length < 2)
    user_error(
        "a text of one token cannot be scored: expected two tokens; or prepend the end-of-text "
        "token");

  const Hooks edits = options.edits.only_edits();
  const ModelOutput output(model, edits);
  // `scored` is the first token without a score. The last token is not an input.
  for (int64_t begin = 0, scored = 1; scored < length; begin += result.stride) {
    const int64_t end = std::min(begin + result.window, length - 1);
    const auto at = [&](int64_t from) {
      return std::span(text).subspan(static_cast<size_t>(from), static_cast<size_t>(end - begin));
    };
    run_window(model, output, at(begin), at(begin + 1), scored - 1 - begin, edits,
               scored - prepended, see);
    scored = end + 1;
    if (options.progress)
      options.progress->update(static_cast<uint64_t>(scored), static_cast<uint64_t>(length),
                               "Scoring");
  }
  return result;
}

Score score(const Model& model, std::span<const int32_t> ids, const ScoreOptions& options) {
  std::vector<TokenScore> tokens;
  Score result = slide_window(model, ids, options, [&](const ScoredWindow& window) {
    append_scores(model, window, options.edits, tokens);
  });
  result.tokens = std::move(tokens);
  return result;
}

std::vector<TrainingWindow> training_windows(std::span<const int32_t> ids, int64_t window,
                                             int64_t stride) {
  const auto length = static_cast<int64_t>(ids.size());
  if (window < 1) user_error("window {} is out of range: expected at least 1", window);
  if (stride < 1) user_error("stride {} is out of range: expected at least 1", stride);
  if (window >= length)
    user_error(
        "a text of {} tokens is too short for a window of {}: expected at least one token more "
        "than the window; use a smaller `window`",
        length, window);
  std::vector<TrainingWindow> windows;
  const auto count = static_cast<size_t>(window);
  for (int64_t begin = 0; begin < length - window; begin += std::min(stride, length)) {
    const auto at = static_cast<size_t>(begin);
    windows.push_back({begin, ids.subspan(at, count), ids.subspan(at + 1, count)});
  }
  return windows;
}

}  // namespace vitrine
