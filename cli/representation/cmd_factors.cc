// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "cli/core/arrays.h"
#include "cli/core/context.h"
#include "cli/core/heat.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/factors.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct FactorsCommandArgs {
  PromptArgs prompt;
  FactorOptions options;
  std::string layers, init = "random", out;
  size_t top_neurons = 5, top_tokens = 8;
  std::vector<std::string> edits;
  PageArgs page;
};

/// One factorisation, and all its tokens in a row.
struct Picture {
  const Factors& factors;
  const Names& names;
  const Terminal& out;
  std::vector<int32_t> ids;
};

double sum_of_squares(const std::vector<double>& values) {
  return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
}

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

std::string draw_component(const Picture& p, size_t component, double total,
                           const FactorsCommandArgs& args) {
  const std::vector<double> strengths = p.factors.strengths_of(component);
  const double full = *std::max_element(strengths.begin(), strengths.end());
  std::string text = p.out.paint(Style::kTitle, fmt::format("component {}", component)) +
                     fmt::format("  {} of the components' squares\n",
                                 percent(total > 0 ? sum_of_squares(strengths) / total : 0.0));
  if (p.out.color()) {  // without colours it would be the text again and again
    std::vector<std::string> pieces;
    for (const int32_t id : p.ids) pieces.push_back(p.names.shown(id));
    text += draw_heat_text(pieces, strengths, full, p.out);
  }
  std::string tokens, neurons;
  for (const size_t t : largest(strengths, args.top_tokens)) {
    if (strengths[t] > 0)
      tokens += fmt::format("  {} {} {:.3g}", t, p.names.shown(p.ids[t]), strengths[t]);
  }
  const double* row =
      p.factors.neurons.data() + static_cast<int64_t>(component) * p.factors.width();
  for (const int64_t n : p.factors.top_neurons(component, args.top_neurons))
    neurons += fmt::format("  {} {:.3f}", neuron_name(p.factors, n), row[n]);
  return text + p.out.paint(Style::kDim, "tokens ") + tokens + "\n" +
         p.out.paint(Style::kDim, "neurons") + neurons + "\n\n";
}

std::string draw(const Picture& p, const FactorsCommandArgs& args) {
  const double total = sum_of_squares(p.factors.strengths);
  std::string text;
  for (size_t c = 0; c < static_cast<size_t>(p.factors.components); ++c)
    text += draw_component(p, c, total, args);
  text += fmt::format("relative residual {:.4f} after {} iterations{}\n",
                      p.factors.relative_residual, p.factors.iterations,
                      p.factors.converged ? "" : ", not converged (--max-iterations)");
  return text +
         p.out.paint(
             Style::kDim,
             "tokens: place, text, strength; neurons: layer.neuron, weight in a row of length 1") +
         "\n";
}

JsonValue factors_json(const Picture& p, const FactorsCommandArgs& args) {
  const Factors& f = p.factors;
  JsonValue json = {{"layers", f.layers},
                    {"tokens", p.names.json(p.ids)},
                    {"relative_residual", f.relative_residual},
                    {"iterations", f.iterations},
                    {"converged", f.converged},
                    {"init", args.init},
                    {"seed", args.options.seed}};
  for (size_t c = 0; c < static_cast<size_t>(f.components); ++c) {
    JsonValue component = {{"strengths", f.strengths_of(c)}, {"top_neurons", JsonValue::array()}};
    const double* row = f.neurons.data() + static_cast<int64_t>(c) * f.width();
    for (const int64_t n : f.top_neurons(c, args.top_neurons)) {
      component["top_neurons"].push_back({{"layer", f.layers[static_cast<size_t>(n / f.inner)]},
                                          {"neuron", n % f.inner},
                                          {"weight", row[n]}});
    }
    json["components"].push_back(std::move(component));
  }
  return json;
}

void save(const Picture& p, const std::string& path,
          const std::map<std::string, std::string>& metadata) {
  const Factors& f = p.factors;
  write_arrays(path,
               {{"ids", tensor_of(DType::kI32, p.ids, {f.tokens})},
                {"layers", tensor_of(DType::kI32, f.layers, {std::ssize(f.layers)})},
                {"strengths", tensor_of(DType::kF64, f.strengths, {f.components, f.tokens})},
                {"neurons", tensor_of(DType::kF64, f.neurons, {f.components, f.width()})}},
               metadata);
}

void run(const Context& context, const FactorsCommandArgs& args) {
  if (!args.out.empty()) check_array_path(args.out);
  const Model model = load_model(context);
  const auto prompts = read_prompts(args.prompt, model);
  FactorOptions options = args.options;
  if (!args.layers.empty())
    options.layers = parse_site("[layers=" + args.layers + "]").where.layers;
  options.init = factor_init_from_name(args.init);
  options.edits = parse_edits(args.edits);
  ProgressBar bar({.unit = ""});
  options.progress = &bar;
  const Factors found = factors(model, ids_of(prompts), options);
  bar.erase();
  const Names names(model.shared_tokenizer());
  Picture picture{found, names, context.out, {}};
  for (const auto& text : found.texts)
    picture.ids.insert(picture.ids.end(), text.begin(), text.end());
  if (!args.out.empty())
    save(picture, args.out,
         {{"vitrine", VITRINE_VERSION}, {"model", model.name()}, {"init", args.init}});
  write_page(args.page, context, model,
             [&](const PageSource& source) { return factors_page(found, source); });
  write_figures(args.page, [&](FigureFormat format) {
    return factors_figure(found, PageSource::of(model), format);
  });
  if (!context.json) return print(draw(picture, args));
  JsonValue json = json_head("factors", model);
  json["factors"] = factors_json(picture, args);
  print_json(json);
}

}  // namespace

void add_factors(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "factors", "Find groups of MLP neurons that are active together on a text");
  const auto args = std::make_shared<FactorsCommandArgs>();
  add_prompt_options(command, args->prompt);
  const auto group = "Factors";
  FactorOptions& options = args->options;
  command.add_option("-k,--components", options.components, "Number of components")
      ->check(in_range(1, 100000))
      ->capture_default_str()
      ->type_name("K")
      ->group(group);
  command
      .add_option("--layers", args->layers,
                  "Blocks whose neurons are factorised together: 0..3,-1 [all]")
      ->type_name("LIST")
      ->group(group);
  command
      .add_option("--init", args->init,
                  "Initialisation: random or nndsvd (from singular vectors, without a seed)")
      ->check(one_of({"random", "nndsvd"}))
      ->capture_default_str()
      ->type_name("WAY")
      ->group(group);
  command.add_option("--seed", options.seed, "Seed of the random initialisation")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("SEED")
      ->group(group)
      ->only_with("--init", {"random"});
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
  command.add_option("--top-neurons", args->top_neurons, "Number of neurons to list per component")
      ->check(in_range(0, 100000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--top-tokens", args->top_tokens, "Number of tokens to list per component")
      ->check(in_range(0, 100000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->not_with("--json");
  command.add_option("-o,--out", args->out, "Write both factors to FILE.safetensors as well")
      ->type_name("FILE")
      ->group(group);
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_page_options(command, args->page);
  add_figure_options(command, args->page);
  set_examples(
      command,
      "  vitrine factors --prompt \"Now I ask you: what can be expected of man?\" --components 6\n"
      "  vitrine factors --text-file page.txt --layers 3..5 --init nndsvd --out "
      "factors.safetensors");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
