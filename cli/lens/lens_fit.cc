// SPDX-License-Identifier: MIT
#include "cli/lens/lens_fit.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/check.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/terminal.h"
#include "report/results/lens_result.h"
#include "vitrine/analysis/tuned_lens.h"
#include "vitrine/corpus/corpus.h"

namespace vitrine::cli {
using namespace internal;
namespace {

TunedLensFit fit(const Model& model, const LensFitArgs& args) {
  WindowReader windows(model, DocumentReader({args.corpus}, {.vocab = model.config().vocab}));
  ProgressBar bar({.unit = "tokens"});
  const auto next = [&]() -> std::optional<std::vector<int32_t>> {
    Window window;
    return windows.next(window) ? std::optional(std::move(window.ids)) : std::nullopt;
  };
  return fit_tuned_lens(model, next,
                        {.alpha = args.alpha,
                         .max_tokens = args.tokens,
                         .edits = parse_edits(args.edits),
                         .progress = &bar});
}

JsonValue fit_json(const TunedLensFit& fit, const LensFitArgs& args, const std::string& folder,
                   int layers) {
  JsonValue json = {{"translators", folder},
                    {"alpha", fit.alpha},
                    {"edits", args.edits},
                    {"fitted_tokens", fit.fitted_tokens},
                    {"held_out_tokens", fit.held_out_tokens},
                    {"model_loss", fit.model_loss}};
  for (const TunedLensRow& row : fit.rows) {
    json["sites"].push_back({{"site", lens_site(LensSource::kResidual, row.layer, layers)},
                             {"normalized_loss", row.normalized_loss},
                             {"tuned_loss", row.tuned_loss},
                             {"normalized_kl", row.normalized_kl},
                             {"tuned_kl", row.tuned_kl}});
  }
  return json;
}

void print_fit(const Terminal& out, const TunedLensFit& fit, const LensFitArgs& args,
               const std::string& folder) {
  print(out.paint(Style::kTitle,
                  fmt::format("{}: {} translators fitted to {} tokens, alpha {}", folder,
                              fit.rows.size(), thousands(fit.fitted_tokens), fit.alpha)) +
        "\n");
  if (!args.edits.empty())
    print(out.paint(Style::kDim,
                    fmt::format("of the model with edits {}", fmt::join(args.edits, ", "))) +
          "\n");
  print(out.paint(Style::kDim,
                  fmt::format("on {} held-out tokens, in nats; KL from the model's output",
                              thousands(fit.held_out_tokens))) +
        "\n");
  print(out.paint(Style::kDim,
                  "layer     loss: normalized   tuned    gain     KL: normalized   tuned") +
        "\n");
  for (const TunedLensRow& row : fit.rows) {
    const double gain = row.normalized_loss - row.tuned_loss;
    print(fmt::format(
        "{}{:>16.3f}{:>8.3f}{}{:>19.3f}{:>8.3f}\n",
        left(row.layer == 0 ? "embed" : std::to_string(row.layer - 1), 8), row.normalized_loss,
        row.tuned_loss,
        out.paint(gain > 0 ? Style::kBest : Style::kBad, fmt::format("{:>+8.3f}", gain)),
        row.normalized_kl, row.tuned_kl));
  }
  print(fmt::format("{}{:>16.3f}{:>8.3f}\n", left("logits", 8), fit.model_loss, fit.model_loss));
}

}  // namespace

void fit_lens(const Context& context, const LensFitArgs& args, const std::string& folder) {
  std::error_code ignored;
  if (std::filesystem::exists(folder, ignored) && !std::filesystem::is_directory(folder, ignored))
    user_error("{}: is not a folder: expected a folder for the translators", folder);
  const Model model = load_model(context);
  const TunedLensFit result = fit(model, args);
  save_tuned_lens(folder, result.lens);
  if (!context.json) return print_fit(context.out, result, args, folder);
  JsonValue json = json_head("lens", model);
  json["fit"] = fit_json(result, args, folder, model.config().layers);
  print_json(json);
}

}  // namespace vitrine::cli
