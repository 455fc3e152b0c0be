// SPDX-License-Identifier: MIT
#include "vitrine/analysis/lens.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "analysis/common/options.h"
#include "analysis/lens/divergence.h"
#include "vitrine/logit_rows.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr std::array kModes = {LensMode::kNormalized, LensMode::kEcco, LensMode::kTuned};
constexpr std::array kSources = {LensSource::kResidual, LensSource::kAttention, LensSource::kMlp};

/// Where row `layer` can be read. The last one of the residual stream is the model's own output.
std::pair<Site, int> row_site(LensSource of, int layer, const Config& config, Site output) {
  if (of == LensSource::kAttention) return {Site::kAttnOut, layer - 1};
  if (of == LensSource::kMlp) return {Site::kMlpOut, layer - 1};
  if (layer == 0) return {Site::kResidPre, 0};
  return layer == config.layers ? std::pair(output, 0) : std::pair(Site::kResidPost, layer - 1);
}

void check_tuned(const LensOptions& options, const Config& config) {
  if (options.mode != LensMode::kTuned) return;
  if (options.of != LensSource::kResidual)
    user_error(
        "the tuned lens decodes the residual stream only; decode {} outputs with mode normalized",
        lens_source_name(options.of));
  if (!options.tuned)
    user_error("missing translators of mode tuned: load them with load_tuned_lens, or fit them");
  if (options.tuned->width != config.width || options.tuned->layers() != config.layers) {
    user_error("the translators are for {} layers of width {}: expected {} of width {}",
               options.tuned->layers(), options.tuned->width, config.layers, config.width);
  }
}

/// One look at a text: which rows there are, where their values come from, and what is found.
class Look {
 public:
  Look(const Model& model, std::span<const int32_t> ids, const LensOptions& options)
      : model_(model), options_(options), output_(model, options.edits) {
    const Config& config = model.config();
    if (ids.empty()) user_error("the text is empty: expected at least one token");
    if (options.top_k < 0)
      user_error("top_k {} is out of range: expected 0 (none) or more", options.top_k);
    for (const int32_t id : options.watch) check_id(config, id, "watched id");
    if (options.target) check_id(config, *options.target, "target");
    check_tuned(options, config);
    const bool embeddings = options.mode != LensMode::kEcco && options.of == LensSource::kResidual;
    lens_.mode = options.mode;
    lens_.of = options.of;
    lens_.ids.assign(ids.begin(), ids.end());
    lens_.watch = options.watch;
    lens_.layers = resolve_indices<int>(options.layers, embeddings ? 0 : 1, config.layers + 1,
                                        "layer", "rows of this mode");
  }

  /// Edits, and captures of what the rows need.
  Hooks hooks(const std::vector<int64_t>& positions) const {
    Hooks hooks = options_.edits.only_edits();
    for (const int layer : lens_.layers) {
      const auto [site, block] = row_site(lens_.of, layer, model_.config(), output_.site());
      if (site != output_.site()) hooks.capture(site, {.layers = {block}, .positions = positions});
    }
    // Always: the default target is the model's own choice.
    return hooks.capture(output_.site(), {.positions = positions});
  }

  /// Positions of the text, and the tokens after them. `captures` has a row for each position.
  Lens see(const Captures& captures, std::vector<int32_t> ids, std::vector<int64_t> positions) {
    captures_ = &captures;
    lens_.ids = std::move(ids);
    lens_.positions = std::move(positions);
    find_targets();
    for (const int layer : lens_.layers) {
      const Row row = values(layer, 0, static_cast<int64_t>(lens_.positions.size()));
      const UnembedOptions wanted{.final_layernorm = row.normalize,
                                  .top_k = options_.top_k,
                                  .targets = lens_.targets,
                                  .watch = lens_.watch};
      const LogitStats stats =
          row.is_output ? output_.statistics(row.view, wanted) : model_.unembed(row.view, wanted);
      require_distributions(stats, model_, {lens_.ids}, options_.edits,
                            fmt::format("row {} of the lens", layer));
      append(stats);
      count(lens_.positions.size());
    }
    if (options_.kl) measure_divergence();
    return std::move(lens_);
  }

 private:
  struct Row {
    Tensor owned;     ///< what `view` looks at, where it was computed here
    TensorView view;  ///< [count, D]
    bool normalize = false;
    bool is_output = false;
  };

  TensorView captured(Site site, int layer, int64_t first, int64_t rows) const {
    return rows_between(captures_->view(site, layer), first, rows);
  }

  /// What is unembedded for some positions of a layer.
  Row values(int layer, int64_t first, int64_t rows) const {
    const auto [site, block] = row_site(lens_.of, layer, model_.config(), output_.site());
    const TensorView found = captured(site, block, first, rows);
    if (site == output_.site()) return {{}, found, false, true};
    if (lens_.mode == LensMode::kTuned && layer < model_.config().layers) {
      const Tensor translated = options_.tuned->translate(layer, model_.to_host(found));
      return {translated, translated, true};
    }
    return {{}, found, lens_.mode != LensMode::kEcco};
  }

  /// Next token of each position; at the end of the text the requested token, or else what the
  /// model thinks likeliest.
  void find_targets() {
    for (size_t p = 0; p < lens_.positions.size(); ++p) {
      const auto next = static_cast<size_t>(lens_.positions[p]) + 1;
      if (next < lens_.ids.size()) {
        lens_.targets.push_back(lens_.ids[next]);
      } else if (options_.target) {
        lens_.targets.push_back(*options_.target);
      } else {
        const TensorView row = captured(output_.site(), 0, static_cast<int64_t>(p), 1);
        const LogitStats stats = output_.statistics(row, {.top_k = 1});
        require_distributions(stats, model_, {lens_.ids}, options_.edits,
                              fmt::format("the model's output at position {}", lens_.positions[p]));
        lens_.targets.push_back(stats.top_ids[0]);
      }
    }
  }

  /// `width` values of `logits` belong to each position.
  static void append_log_probs(std::vector<double>& to, const std::vector<float>& logits,
                               const std::vector<float>& lse, size_t width) {
    for (size_t i = 0; i < logits.size(); ++i)
      to.push_back(static_cast<double>(logits[i]) - static_cast<double>(lse[i / width]));
  }

  /// Appends one row of the picture.
  void append(const LogitStats& stats) {
    lens_.top_k = stats.top_k;
    lens_.top_ids.insert(lens_.top_ids.end(), stats.top_ids.begin(), stats.top_ids.end());
    lens_.target_ranks.insert(lens_.target_ranks.end(), stats.target_ranks.begin(),
                              stats.target_ranks.end());
    lens_.watch_ranks.insert(lens_.watch_ranks.end(), stats.watch_ranks.begin(),
                             stats.watch_ranks.end());
    lens_.entropies.insert(lens_.entropies.end(), stats.entropy.begin(), stats.entropy.end());
    append_log_probs(lens_.top_log_probs, stats.top_logits, stats.lse,
                     static_cast<size_t>(stats.top_k));
    append_log_probs(lens_.target_log_probs, stats.target_logits, stats.lse, 1);
    append_log_probs(lens_.watch_log_probs, stats.watch_logits, stats.lse, lens_.watch.size());
  }

  /// The output's distributions of some positions are held and every layer compared with them,
  /// before the next positions come.
  void measure_divergence() {
    const auto positions = static_cast<int64_t>(lens_.positions.size());
    lens_.kl.resize(lens_.rows() * lens_.positions.size());
    for (int64_t first = 0; first < positions; first += kLogitRowsAtOnce) {
      const int64_t rows = std::min(kLogitRowsAtOnce, positions - first);
      const ReferenceRows output(model_, output_, captured(output_.site(), 0, first, rows));
      for (size_t r = 0; r < lens_.rows(); ++r) {
        const Row row = values(lens_.layers[r], first, rows);
        const auto keep = [&](int64_t i, const ReferenceRows::Compared& compared) {
          lens_.kl[lens_.cell(r, static_cast<size_t>(first + i))] = compared.kl;
        };
        if (row.is_output)
          output.compare_output(output_, row.view, keep);
        else
          output.compare(row.view, row.normalize, keep);
        count(static_cast<uint64_t>(rows));
      }
    }
  }

  void count(uint64_t cells) {
    done_ += cells;
    if (options_.progress)
      options_.progress->update(
          done_, lens_.rows() * lens_.positions.size() * (options_.kl ? 2 : 1), "Lens");
  }

  const Model& model_;
  const LensOptions& options_;
  ModelOutput output_;
  Lens lens_;
  const Captures* captures_ = nullptr;
  uint64_t done_ = 0;
};

/// The value that has this name, or an error that lists all names.
template <typename T, size_t N>
T named(const std::array<T, N>& values, std::string_view (*name_of)(T), std::string_view name,
        std::string_view what) {
  std::string names;
  for (const T value : values) {
    if (name == name_of(value)) return value;
    if (!names.empty()) names += value == values.back() ? " or " : ", ";
    names += name_of(value);
  }
  user_error("unknown {} '{}': expected {}", what, name, names);
}

}  // namespace

std::string_view lens_mode_name(LensMode mode) {
  constexpr std::array<std::string_view, 3> kNames = {"normalized", "ecco", "tuned"};
  return kNames[static_cast<size_t>(mode)];
}

LensMode lens_mode_from_name(std::string_view name) {
  return named(kModes, lens_mode_name, name, "lens mode");
}

std::string_view lens_source_name(LensSource source) {
  constexpr std::array<std::string_view, 3> kNames = {"residual", "attention", "mlp"};
  return kNames[static_cast<size_t>(source)];
}

LensSource lens_source_from_name(std::string_view name) {
  return named(kSources, lens_source_name, name, "lens source");
}

Lens lens(const Model& model, std::span<const int32_t> ids, const LensOptions& options) {
  Look look(model, ids, options);
  auto positions = resolve_indices<int64_t>(options.positions, 0, static_cast<int64_t>(ids.size()),
                                            "position", "positions of the text");
  const Run run = model.forward(ids, look.hooks(positions),
                                {.logits = LogitRows::kNone, .residence = Residence::kDevice});
  return look.see(run.captures(), {ids.begin(), ids.end()}, std::move(positions));
}

Lens rankings(const Model& model, std::span<const int32_t> prompt,
              const GenerateOptions& generation, const LensOptions& options) {
  if (!options.positions.empty())
    user_error(
        "invalid positions: a generation is decoded at its own steps; leave the positions out");
  if (options.target)
    user_error(
        "invalid target: the targets of a generation are its own tokens; leave the target out");
  if (generation.max_new_tokens < 1)
    user_error("max_new_tokens {} is out of range: expected at least 1", generation.max_new_tokens);
  Look look(model, prompt, options);
  // The newest token of every pass: in the first that is the prompt's last.
  const Generation found =
      generate(model, {{prompt.begin(), prompt.end()}}, generation, look.hooks({-1}));
  const std::vector<int32_t>& fresh = found.sequences.front().ids;
  std::vector<int32_t> ids(prompt.begin(), prompt.end());
  ids.insert(ids.end(), fresh.begin(), fresh.end());
  std::vector<int64_t> positions(fresh.size());
  std::iota(positions.begin(), positions.end(), static_cast<int64_t>(prompt.size()) - 1);
  return look.see(*found.captures, std::move(ids), std::move(positions));
}

}  // namespace vitrine
