// SPDX-License-Identifier: MIT
#include "vitrine/analysis/noise.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "analysis/common/batch_budget.h"
#include "analysis/common/linear_cka.h"
#include "analysis/common/model_output.h"
#include "analysis/common/options.h"
#include "analysis/noise/draws.h"
#include "analysis/saliency/steps.h"

namespace vitrine {
using namespace internal;
namespace {

/// What a model says and holds about one input: a prompt, as it is or with noise, and the
/// continuation.
struct NoiseReading {
  double log_prob = 0, rank = 0;
  std::vector<std::vector<float>> layers;  ///< [L+1][prompt's tokens, D]
};

double cosine(std::span<const float> a, std::span<const float> b) {
  double product = 0, aa = 0, bb = 0;
  for (size_t d = 0; d < a.size(); ++d) {
    product += static_cast<double>(a[d]) * static_cast<double>(b[d]);
    aa += static_cast<double>(a[d]) * static_cast<double>(a[d]);
    bb += static_cast<double>(b[d]) * static_cast<double>(b[d]);
  }
  const double size = std::sqrt(aa * bb);
  return size > 0 ? std::clamp(product / size, -1.0, 1.0)
                  : std::numeric_limits<double>::quiet_NaN();
}

/// Runs noised prompts a few at a time.
class NoiseRuns {
 public:
  NoiseRuns(const Model& model, const NoiseOptions& options, std::span<const int32_t> prompt)
      : model_(model), options_(options), edits_(options.edits.only_edits()) {
    check_input_edits(options.edits, model.config(), "noise");
    if (options.mask.kind != Replacement::Kind::kDelete)
      mask_ = replacement_rows(options.mask, model, 1, "mask");
    whole.ids.assign(prompt.begin(), prompt.end());
    for (size_t i = 0; i < prompt.size(); ++i) whole.sources.push_back(static_cast<int64_t>(i));
  }

  using Use = std::function<void(size_t, const NoiseReading&)>;
  /// Readings of prompts, each followed by this continuation, in order.
  void read(std::span<const NoisedPrompt> prompts, std::span<const int32_t> continuation,
            const Use& use) const {
    for (size_t begin = 0; begin < prompts.size();) {
      BatchBudget budget(options_.batch_tokens);
      size_t end = begin;
      while (end < prompts.size() &&
             budget.takes(std::ssize(prompts[end].ids) + std::ssize(continuation)))
        ++end;
      read_batch(prompts.subspan(begin, end - begin), continuation,
                 [&](size_t i, const NoiseReading& reading) { use(begin + i, reading); });
      begin = end;
    }
  }

  NoisedPrompt whole;

 private:
  void read_batch(std::span<const NoisedPrompt> prompts, std::span<const int32_t> continuation,
                  const Use& use) const {
    Batch batch;
    for (const NoisedPrompt& prompt : prompts) {
      batch.push_back(prompt.ids);
      std::replace(batch.back().begin(), batch.back().end(), -1,
                   0);  // any token: its embedding is replaced
      batch.back().insert(batch.back().end(), continuation.begin(),
                          continuation.end() - 1);  // the last is not an input
    }
    Hooks hooks = hooks_for(prompts);
    hooks.capture(Site::kResidPre, {.layers = {0}})
        .capture(Site::kResidPost)
        .capture(Site::kLnFinalNormalized);
    const Run run = model_.forward(batch, hooks, {.logits = LogitRows::kNone});
    require_finite(run.captures(), model_, batch, hooks, "the effect of noise");
    for (size_t s = 0; s < prompts.size(); ++s) {
      const auto view = [&](Site site, int layer) {
        return run.captures().view(site, layer, static_cast<int>(s));
      };
      const size_t tokens = prompts[s].ids.size();
      NoiseReading reading = look_up(view(Site::kLnFinalNormalized, 0), tokens - 1, continuation);
      for (int row = 0; row <= model_.config().layers; ++row) {
        const TensorView stream =
            row == 0 ? view(Site::kResidPre, 0) : view(Site::kResidPost, row - 1);
        const std::span<const float> rows = stream.f32().first(tokens * width());
        reading.layers.emplace_back(rows.begin(), rows.end());
      }
      use(s, reading);
    }
  }

  Hooks hooks_for(std::span<const NoisedPrompt> prompts) const {
    Hooks hooks = edits_;
    for (size_t s = 0; s < prompts.size(); ++s) {
      std::vector<int64_t> masked;
      for (size_t i = 0; i < prompts[s].ids.size(); ++i) {
        if (prompts[s].ids[i] < 0) masked.push_back(static_cast<int64_t>(i));
      }
      if (!masked.empty())
        hooks.edit(Site::kEmbed, replace(mask_),
                   {.positions = masked, .sequences = {static_cast<int>(s)}});
    }
    return hooks;
  }

  /// Continuation after rows [first, first + C) of the final layernorm's output.
  NoiseReading look_up(const TensorView& rows, size_t first,
                       std::span<const int32_t> continuation) const {
    const auto count = static_cast<int64_t>(continuation.size());
    const Tensor some =
        Tensor::from(rows.f32().subspan(first * width(), continuation.size() * width()),
                     {count, model_.config().width});
    const LogitStats stats = model_.unembed(
        some, {.final_layernorm = false, .targets = {continuation.begin(), continuation.end()}});
    NoiseReading reading;
    for (size_t i = 0; i < continuation.size(); ++i) {
      reading.log_prob +=
          static_cast<double>(stats.target_logits[i]) - static_cast<double>(stats.lse[i]);
      reading.rank += static_cast<double>(stats.target_ranks[i]) / static_cast<double>(count);
    }
    return reading;
  }

  size_t width() const { return static_cast<size_t>(model_.config().width); }

  const Model& model_;
  const NoiseOptions& options_;
  Hooks edits_;
  Tensor mask_;
};

/// Linear CKA of a layer over the tokens that survived.
double aligned_cka(const NoisedPrompt& prompt, const std::vector<float>& noised,
                   const std::vector<float>& whole, size_t width) {
  std::vector<float> x, y;
  for (size_t i = 0; i < prompt.sources.size(); ++i) {
    if (prompt.sources[i] < 0) continue;
    const auto copy = [&](const std::vector<float>& from, size_t row, std::vector<float>& to) {
      to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(row * width),
                from.begin() + static_cast<std::ptrdiff_t>((row + 1) * width));
    };
    copy(noised, i, x);
    copy(whole, static_cast<size_t>(prompt.sources[i]), y);
  }
  return linear_cka(x, y, static_cast<int64_t>(x.size() / width), static_cast<int64_t>(width));
}

void add_reading(NoiseEffect& effect, const NoisedPrompt& prompt, const NoiseReading& noised,
                 const NoiseReading& whole, size_t width) {
  effect.log_probs.push_back(noised.log_prob);
  effect.ranks.push_back(noised.rank);
  const auto last = [&](const std::vector<float>& rows) { return std::span(rows).last(width); };
  for (size_t layer = 0; layer < whole.layers.size(); ++layer) {
    effect.cosines.push_back(cosine(last(noised.layers[layer]), last(whole.layers[layer])));
    effect.ckas.push_back(aligned_cka(prompt, noised.layers[layer], whole.layers[layer], width));
  }
}

/// Every `step`-th number from `first` on.
Estimate estimate_of_column(std::span<const double> numbers, size_t first, size_t step) {
  std::vector<double> column;
  for (size_t i = first; i < numbers.size(); i += step) column.push_back(numbers[i]);
  return estimate(column);
}

void sum_up(NoiseEffect& effect, double whole_log_prob, size_t layers) {
  std::vector<double> changes = effect.log_probs;
  for (double& change : changes) change -= whole_log_prob;
  effect.log_prob_change = estimate(changes);
  effect.rank = estimate(effect.ranks);
  for (size_t layer = 0; layer < layers; ++layer) {
    effect.cosine.push_back(estimate_of_column(effect.cosines, layer, layers));
    effect.cka.push_back(estimate_of_column(effect.ckas, layer, layers));
  }
}

/// Throws Error (user) for a prompt that, with the continuation but its last token, does not fit
/// into the context.
void check_length(size_t prompt, const Noise& noise, const Config& config, std::string_view with) {
  const auto tokens = static_cast<int64_t>(prompt + noise.continuation.size() - 1);
  if (tokens <= config.context) return;
  user_error(
      "the prompt{} and its continuation are {} tokens: expected at most {}, the model's context; "
      "use a shorter prompt",
      with, tokens, config.context);
}

NoiseEffect draw_prompts(const Noise& noise, const TextParts& parts, NoiseKind kind,
                         const NoiseOptions& options, const Config& config) {
  NoiseEffect effect{.kind = kind};
  for (int repetition = 0; repetition < options.repetitions; ++repetition) {
    NoisedPrompt prompt = noised_prompt(parts, noise.ids, kind, repetition, options);
    if (prompt.ids.empty()) {
      const char* smaller = noise.ids.size() > 1 ? "a smaller `budget`" : "a longer prompt";
      user_error("{} would remove all {} tokens of the prompt: use {}{}", noise_kind_name(kind),
                 noise.ids.size(), smaller,
                 kind == NoiseKind::kTokenDeletion ? "" : " or another `mask`");
    }
    check_length(prompt.ids.size(), noise, config, fmt::format(" with {}", noise_kind_name(kind)));
    const auto kept = std::count_if(prompt.sources.begin(), prompt.sources.end(),
                                    [](int64_t source) { return source >= 0; });
    effect.masked.push_back(static_cast<int32_t>(static_cast<int64_t>(noise.ids.size()) - kept));
    effect.prompts.push_back(std::move(prompt));
  }
  return effect;
}

void compare_spans(Noise& noise) {
  const auto find = [&](NoiseKind kind) {
    return std::find_if(noise.effects.begin(), noise.effects.end(),
                        [&](const NoiseEffect& effect) { return effect.kind == kind; });
  };
  const auto spans = find(NoiseKind::kSpans), scattered = find(NoiseKind::kScattered);
  if (spans == noise.effects.end() || scattered == noise.effects.end()) return;
  std::vector<double> differences = spans->log_probs;
  for (size_t i = 0; i < differences.size(); ++i) differences[i] -= scattered->log_probs[i];
  noise.spans_less_scattered = estimate(differences);
}

std::vector<NoiseKind> kinds_of(const NoiseOptions& options) {
  std::vector<NoiseKind> kinds;
  for (const NoiseKind kind : options.kinds) {
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
  }
  for (int kind = 0; options.kinds.empty() && kind < kNoiseKinds; ++kind)
    kinds.push_back(static_cast<NoiseKind>(kind));
  return kinds;
}

}  // namespace

Estimate estimate(std::span<const double> numbers) {
  double sum = 0, squares = 0, count = 0;
  for (const double x : numbers) {
    if (std::isnan(x)) continue;
    sum += x;
    ++count;
  }
  if (count == 0)
    return {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()};
  for (const double x : numbers) {
    if (!std::isnan(x)) squares += (x - sum / count) * (x - sum / count);
  }
  return {sum / count, count > 1 ? std::sqrt(squares / (count - 1) / count) : 0.0};
}

Noise noise(const Model& model, std::span<const int32_t> prompt, const NoiseOptions& options) {
  check_noise_options(options);
  if (prompt.empty()) user_error("the prompt is empty: expected at least one token");
  for (const int32_t id : options.continuation)
    check_id(model.config(), id, "continuation's token");
  const TextParts parts = parts_of(model.shared_tokenizer().get(), prompt);
  const NoiseRuns runs(model, options, prompt);
  Noise result{.ids = {prompt.begin(), prompt.end()},
               .continuation = options.continuation,
               .own_choice = options.continuation.empty(),
               .words = static_cast<int64_t>(parts.words.size()),
               .sentences = static_cast<int64_t>(parts.sentences.size()),
               .budget = budget_tokens(options.budget, prompt.size())};
  if (result.own_choice) result.continuation = {next_token(model, result.ids, options.edits)};
  check_length(prompt.size(), result, model.config(), "");

  NoiseReading whole;
  runs.read({&runs.whole, 1}, result.continuation,
            [&](size_t, const NoiseReading& reading) { whole = reading; });
  result.log_prob = whole.log_prob;
  result.rank = whole.rank;
  const auto width = static_cast<size_t>(model.config().width);
  const std::vector<NoiseKind> kinds = kinds_of(options);
  const uint64_t total = kinds.size() * static_cast<uint64_t>(options.repetitions);
  uint64_t done = 0;
  for (const NoiseKind kind : kinds) {
    NoiseEffect effect = draw_prompts(result, parts, kind, options, model.config());
    runs.read(effect.prompts, result.continuation, [&](size_t i, const NoiseReading& noised) {
      add_reading(effect, effect.prompts[i], noised, whole, width);
      if (options.progress) options.progress->update(++done, total, "Noise");
    });
    sum_up(effect, whole.log_prob, whole.layers.size());
    result.effects.push_back(std::move(effect));
  }
  compare_spans(result);
  return result;
}

}  // namespace vitrine
