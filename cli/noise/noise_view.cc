// SPDX-License-Identifier: MIT
#include "cli/noise/noise_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "report/results/results.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr size_t kNoiseName = 21, kColumn = 16;

std::string with_error(const Estimate& estimate, const char* format) {
  return fmt::format(fmt::runtime(format), estimate.mean, estimate.standard_error);
}

std::string noise_number(double x) { return std::isnan(x) ? "-" : fmt::format("{:.3f}", x); }

/// What the continuation is, and how likely without noise.
std::string heading(const NoisePicture& p) {
  const Noise& n = p.noise;
  std::string text = "after the original prompt: ";
  for (const int32_t id : n.continuation) text += p.names.shown(id);
  if (n.own_choice) text += ", the model's own choice";
  const bool one = n.continuation.size() == 1;
  return text +
         fmt::format(", {} {}, log-probability {:.3f} ({})\n", one ? "rank" : "mean rank",
                     one ? thousands(static_cast<int64_t>(n.rank)) : fmt::format("{:.1f}", n.rank),
                     n.log_prob, percent(std::exp(n.log_prob)));
}

double mean_masked(const NoiseEffect& effect) {
  double sum = 0;
  for (const int32_t masked : effect.masked) sum += masked;
  return sum / static_cast<double>(effect.masked.size());
}

std::string line(const NoisePicture& p, const NoiseEffect& effect, double full, size_t bar_width) {
  const double change = effect.log_prob_change.mean;
  const double part = full > 0 ? std::min(1.0, std::abs(change) / full) : 0.0;
  std::string text =
      fmt::format("{}  {:>6.1f}  {:>8.3f} ± {:<6.3f}  {}  {:>9.1f}  {:>6}  {:>6}",
                  left(noise_kind_name(effect.kind), kNoiseName), mean_masked(effect), change,
                  effect.log_prob_change.standard_error, bar(part, bar_width), effect.rank.mean,
                  noise_number(effect.cosine.back().mean), noise_number(effect.cka.back().mean));
  return p.out.paint(heat_style(full > 0 ? change / full : 0.0), text) + "\n";
}

std::string comparison(const NoisePicture& p) {
  const Estimate& d = *p.noise.spans_less_scattered;
  const char* verdict = std::abs(d.mean) < 2 * d.standard_error ? "no clear difference"
                        : d.mean < 0                            ? "spans cost more"
                                                                : "scattered tokens cost more";
  return fmt::format("spans less scattered: {} nats: {}\n", with_error(d, "{:+.3f} ± {:.3f}"),
                     verdict);
}

/// Corrupted prompt as text; a box marks a mask without a token.
std::string noised_text(const NoisePicture& p, const NoisedPrompt& prompt) {
  std::string text;
  for (size_t i = 0; i < prompt.ids.size(); ++i) {
    const bool masked = prompt.sources[i] < 0;
    const std::string piece = prompt.ids[i] < 0 ? "□" : p.names.shown(prompt.ids[i]);
    text += masked ? p.out.paint(Style::kBad,
                                 p.out.color() || prompt.ids[i] < 0 ? piece : "[" + piece + "]")
                   : piece;
  }
  return text;
}

}  // namespace

std::string draw_noise(const NoisePicture& p) {
  double full = 0;
  for (const NoiseEffect& effect : p.noise.effects)
    full = std::max(full, std::abs(effect.log_prob_change.mean));
  const size_t rest = kNoiseName + 2 + 6 + 2 + 17 + 4 + 9 + 2 + 6 + 2 + 6;
  const size_t bar_width = p.out.width() == 0 || p.out.width() >= rest + 24 ? 24
                           : p.out.width() > rest                           ? p.out.width() - rest
                                                                            : 0;
  std::string text =
      heading(p) + "\n" +
      p.out.paint(Style::kDim, fmt::format("{}  {:>6}  {:<17}  {}  {:>9}  {:>6}  {:>6}",
                                           left("noise", kNoiseName), "masked", "log-prob. changes",
                                           left("", bar_width), "rank", "cosine", "CKA")) +
      "\n";
  for (const NoiseEffect& effect : p.noise.effects) text += line(p, effect, full, bar_width);
  text += p.out.paint(Style::kDim,
                      "means over the repetitions ± standard error, in nats; cosine at the last "
                      "token and CKA over the tokens that stay, both of the last layer") +
          "\n";
  return p.noise.spans_less_scattered ? text + comparison(p) : text;
}

std::string draw_noised_prompts(const NoisePicture& p, size_t count) {
  std::string text;
  for (const NoiseEffect& effect : p.noise.effects) {
    for (size_t r = 0; r < std::min(count, effect.prompts.size()); ++r) {
      text += fmt::format("{}  {}\n", left(r == 0 ? noise_kind_name(effect.kind) : "", kNoiseName),
                          noised_text(p, effect.prompts[r]));
    }
  }
  return text;
}

std::string draw_noise_layers(const NoisePicture& p) {
  const auto& effects = p.noise.effects;
  const Columns columns = fit_columns(p.out, effects.size(), 9, kColumn, false);
  std::string head = left("layer", 9), below = left("", 9);
  for (size_t i = 0; i < columns.count; ++i) {
    head += left(clip(noise_kind_name(effects[i].kind), kColumn - 2), kColumn);
    below += left("cosine CKA", kColumn);
  }
  std::string text =
      p.out.paint(Style::kDim, head.substr(0, head.find_last_not_of(' ') + 1) + "\n" +
                                   below.substr(0, below.find_last_not_of(' ') + 1)) +
      "\n";
  const std::vector<std::string> layers = site_labels(noise_sites(p.noise));
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    std::string row = left(layers[layer], 9);
    for (size_t i = 0; i < columns.count; ++i) {
      row += left(fmt::format("{:<6} {}", noise_number(effects[i].cosine[layer].mean),
                              noise_number(effects[i].cka[layer].mean)),
                  kColumn);
    }
    text += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
  }
  if (columns.hidden > 0)
    text += p.out.paint(Style::kDim,
                        fmt::format("{} more do not fit (--width 0: all)", columns.hidden)) +
            "\n";
  return text;
}

}  // namespace vitrine::cli
