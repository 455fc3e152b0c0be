// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "cli/core/analysis_command.h"
#include "cli/core/generation_args.h"
#include "cli/core/heat.h"
#include "cli/core/site_syntax.h"
#include "report/results/results.h"
#include "vitrine/analysis/factors.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct FactorsCommandArgs : AnalysisArgs {
  FactorOptions options;
  SamplingOptions sampling;
  std::string layers, init = "random";
  std::optional<int> top_neurons;
  size_t top_tokens = 8;
  int generate = 0;
};

/// One factorisation, and all its tokens in a row.
struct Picture {
  const Factors& factors;
  const Result& result;
  const Names& names;
  const Terminal& out;
  std::vector<int32_t> ids;
};

/// "blocks.3, neuron 517" as "3.517".
std::string neuron_name(const Factors& factors, int64_t neuron) {
  return fmt::format("{}.{}", factors.layers[static_cast<size_t>(neuron / factors.inner)],
                     neuron % factors.inner);
}

/// Positions of the largest, largest first.
std::vector<size_t> largest(const std::vector<double>& values, size_t count) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a] > values[b]; });
  order.resize(std::min(count, order.size()));
  return order;
}

/// A title, and pieces in lines below each other.
std::string listed(const std::string& title, const std::vector<std::string>& pieces,
                   const Terminal& out) {
  std::string text = out.paint(Style::kDim, left(title, 7));
  size_t used = 7;
  for (const std::string& piece : pieces) {
    const size_t width = display_width(piece) + 2;
    if (used > 7 && used + width > out.width()) {
      text += "\n" + std::string(7, ' ');
      used = 7;
    }
    text += "  " + piece;
    used += width;
  }
  return text + "\n";
}

/// All components by all tokens, a strip for each picture of the figure.
std::string draw_overview(const Picture& p) {
  std::string text;
  size_t first = 0;
  double limit = 0;
  bool generated = false;
  for (const Panel& each : std::span(p.result.panels).first(p.result.panels.size() - 1)) {
    const auto& panel = std::get<HeatPanel>(each);
    text += p.out.paint(Style::kTitle, clip(panel.title, p.out.width())) + "\n" +
            draw_strip(panel, first, p.out) + "\n";
    first += panel.columns.size();
    limit = panel.limit;
    generated = generated || !panel.borders.empty();
  }
  return text +
         p.out.paint(Style::kDim, fmt::format("a block a token; the highest: {:.3g}{}", limit,
                                              generated ? "; generated after │" : "")) +
         "\n\n";
}

std::string draw_component(const Picture& p, size_t component, const FactorsCommandArgs& args) {
  const std::vector<double> strengths = p.factors.strengths_of(component);
  const double full = *std::max_element(strengths.begin(), strengths.end());
  const auto& shares = std::get<std::vector<double>>(p.result.tables[2].fields[0].values);
  std::string text = p.out.paint(Style::kTitle, fmt::format("component {}", component)) +
                     fmt::format("  {} of the components' squares\n", percent(shares[component]));
  if (p.out.color()) {  // without colours it would be the text again and again
    std::vector<std::string> pieces;
    for (const int32_t id : p.ids) pieces.push_back(p.names.shown(id));
    text += draw_heat_text(pieces, strengths, full, p.out);
  }
  std::vector<std::string> tokens, neurons;
  for (const size_t t : largest(strengths, args.top_tokens)) {
    if (strengths[t] > 0)
      tokens.push_back(fmt::format("{} {} {:.3g}", t, p.names.shown(p.ids[t]), strengths[t]));
  }
  const double* row =
      p.factors.neurons.data() + static_cast<int64_t>(component) * p.factors.width();
  for (const int64_t n :
       p.factors.top_neurons(component, static_cast<size_t>(args.top_neurons.value_or(5))))
    neurons.push_back(fmt::format("{} {:.3f}", neuron_name(p.factors, n), row[n]));
  return text + listed("tokens", tokens, p.out) + listed("neurons", neurons, p.out) + "\n";
}

std::string draw(const Picture& p, const FactorsCommandArgs& args) {
  std::string text = draw_overview(p);
  for (size_t c = 0; c < static_cast<size_t>(p.factors.components); ++c)
    text += draw_component(p, c, args);
  return text +
         fmt::format("relative residual {:.4f} after {} iterations{}\n",
                     p.factors.relative_residual, p.factors.iterations,
                     p.factors.converged ? "" : ", not converged (--max-iterations)") +
         p.out.paint(Style::kDim,
                     "tokens: place, text, strength\n"
                     "neurons: layer.neuron, weight in a row of length 1") +
         "\n";
}

void run(const Context& context, const FactorsCommandArgs& args) {
  FactorOptions options = args.options;
  options.layers = parse_indices<int>("--layers", args.layers);
  options.init = factor_init_from_name(args.init);
  options.edits = parse_edits(args.edits);
  const AnalysisRun analysis(context, args);
  if (args.generate > 0) {
    options.generate = generation_of(args.generate, args.sampling, analysis.model());
    options.generate->sampling.seed = options.seed;
  }
  ProgressBar bar({.unit = ""});
  options.progress = &bar;
  const Factors found = factors(analysis.model(), ids_of(analysis.prompts(args.prompt)), options);
  bar.erase();
  Result result =
      factors_result(found, analysis.source(),
                     args.top_neurons ? static_cast<size_t>(*args.top_neurons) : kFactorNeurons);
  result.facts["init"] = args.init;
  result.facts["seed"] = args.options.seed;
  analysis.show(result, [&] {
    Picture picture{found, result, analysis.names(), context.out, {}};
    for (const auto& text : found.texts)
      picture.ids.insert(picture.ids.end(), text.begin(), text.end());
    return draw(picture, args);
  });
}

void add_factors_options(Command& command, FactorsCommandArgs& args) {
  add_prompt_options(command, args.prompt);
  const auto group = "Factors";
  FactorOptions& options = args.options;
  command.add_option("-k,--components", options.components, "Number of components")
      ->check(in_range(1, 100000))
      ->capture_default_str()
      ->type_name("K")
      ->group(group);
  command
      .add_option("--layers", args.layers,
                  "Blocks whose neurons are factorised together: 0..3,-1 [all]")
      ->type_name("LIST")
      ->group(group);
  command
      .add_option("--init", args.init,
                  "Initialisation: random or nndsvd (from singular vectors, without a seed)")
      ->check(one_of({"random", "nndsvd"}))
      ->capture_default_str()
      ->type_name("WAY")
      ->group(group);
  command
      .add_option("--seed", options.seed, "Seed of the random initialisation and of --temperature")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("SEED")
      ->group(group)
      ->only_with({{"--init", {"random"}}, {"--temperature", {kAboveZero}}});
  command.add_option("--max-iterations", options.max_iterations, "Maximum number of iterations")
      ->check(in_range(1, 1000000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command
      .add_option("--tolerance", options.tolerance,
                  "Stop when the projected gradient falls to this share of its first value")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("X")
      ->group(group);
  command
      .add_option("--top-neurons", args.top_neurons,
                  "Number of neurons to list per component [5; 50 in JSON and on the page]")
      ->check(in_range(0, 100000))
      ->type_name("N")
      ->group(group);
  command.add_option("--top-tokens", args.top_tokens, "Number of tokens to list per component")
      ->check(in_range(0, 100000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->not_with("--json");
  command
      .add_option("-n,--generate", args.generate,
                  "Continue each prompt by up to N tokens, and factorise them as well")
      ->check(above_zero())
      ->type_name("N")
      ->group("Generation");
  add_sampling_options(command, args.sampling, "Generation", "--generate");
}

}  // namespace

void add_factors(Command& app, Context& context) {
  add_analysis(
      app, context,
      {"factors", "Find groups of MLP neurons that are active together on a text",
       "  vitrine factors --prompt \"Now I ask you: what can be expected of man?\" --components "
       "6\n"
       "  vitrine factors --prompt \"The old house\" --generate 20 --components 4\n"
       "  vitrine factors --text-file page.txt --layers 3..5 --init nndsvd --out "
       "factors.safetensors"},
      add_factors_options, run);
}

}  // namespace vitrine::cli
