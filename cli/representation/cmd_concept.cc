// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "cli/core/arrays.h"
#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/concepts.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct ConceptCommandArgs {
  std::string positive, negative, site = ConceptOptions().site, pooling = "last", out;
  bool special = false;
  std::vector<std::string> edits;
  PageArgs page;
};

std::vector<Prompt> read_set(const std::string& path, const ConceptCommandArgs& args,
                             const Model& model) {
  PromptArgs prompts{.ids_option = "a .jsonl file with ids"};
  prompts.prompt_file = path;
  prompts.special = args.special;
  return read_prompts(prompts, model);
}

std::string draw_table(const std::vector<ConceptDirection>& found, const Terminal& out) {
  size_t width = 4;
  for (const ConceptDirection& d : found) width = std::max(width, d.site.size());
  std::string text =
      out.paint(Style::kDim, fmt::format("{}{:>10}{:>12}{:>10}{:>8}{:>10}", left("site", width),
                                         "norm", "relative", "d", "AUC", "accuracy")) +
      "\n";
  for (const ConceptDirection& d : found) {
    text += fmt::format("{}{:>10.4g}{:>12}{:>10.3f}{}{:>10}\n", left(d.site, width), d.norm,
                        percent(d.norm / d.activation_norm), d.cohens_d,
                        out.paint(heat_style(2 * d.auc - 1), fmt::format("{:>8.3f}", d.auc)),
                        percent(d.accuracy));
  }
  return text +
         out.paint(Style::kDim,
                   "norm: of the difference of means, and relative to the activations' own; d, "
                   "AUC, accuracy: of held-out prompts") +
         "\n";
}

/// Each prompt's place along the one direction.
std::string draw_scores(const ConceptDirection& d, const std::vector<Prompt>& positive,
                        const std::vector<Prompt>& negative, const Terminal& out) {
  std::string text = "\n" + out.paint(Style::kDim, "   score  held-out prompt") + "\n";
  double full = 0;
  for (const auto* scores : {&d.positive_scores, &d.negative_scores}) {
    for (const double x : *scores) full = std::max(full, std::abs(x));
  }
  const auto add = [&](char sign, const std::vector<double>& scores,
                       const std::vector<Prompt>& prompts) {
    for (size_t i = 0; i < scores.size(); ++i) {
      text += fmt::format(
          "{}  {} {}\n",
          out.paint(heat_style(full > 0 ? scores[i] / full : 0),
                    fmt::format("{:>+8.3f}", scores[i])),
          sign, clip(printable(prompts[i].text), out.width() > 30 ? out.width() - 14 : 16));
    }
  };
  add('+', d.positive_scores, positive);
  add('-', d.negative_scores, negative);
  return text;
}

JsonValue concept_json(const ConceptDirection& d) {
  return {{"site", d.site},
          {"norm", d.norm},
          {"activation_norm", d.activation_norm},
          {"cohens_d", d.cohens_d},
          {"auc", d.auc},
          {"accuracy", d.accuracy},
          {"positive_scores", d.positive_scores},
          {"negative_scores", d.negative_scores},
          {"direction", d.direction}};
}

/// As float32 and one tensor a site: what --edit reads.
void save(const std::vector<ConceptDirection>& found, const ConceptCommandArgs& args,
          const Model& model) {
  Arrays arrays;
  for (const ConceptDirection& d : found) {
    const std::vector<float> direction(d.direction.begin(), d.direction.end());
    arrays.emplace_back(d.site, tensor_of(DType::kF32, direction, {std::ssize(direction)}));
  }
  write_arrays(args.out, arrays,
               {{"vitrine", VITRINE_VERSION},
                {"model", model.name()},
                {"pooling", args.pooling},
                {"positive", args.positive},
                {"negative", args.negative}});
}

/// "[heads=3]" of a site that is narrowed.
std::string narrowing(const ConceptCommandArgs& args) {
  return args.site.substr(std::min(args.site.find('['), args.site.size()));
}

/// Adding a direction from the file that holds all of them, as a shell reads it.
std::string edit_word(const std::vector<ConceptDirection>& found, size_t which,
                      const std::string& file, const ConceptCommandArgs& args) {
  const std::string& site = found[which].site;
  return shell_word(fmt::format("{}{}=add:{}{}*1", site, narrowing(args), file,
                                found.size() == 1 ? "" : "#" + site));
}

std::string usage(const std::vector<ConceptDirection>& found, const ConceptCommandArgs& args,
                  const Terminal& out) {
  return out.paint(Style::kTitle, args.out) +
         fmt::format(": {} {}. To steer:\nvitrine generate --edit {}\n", found.size(),
                     found.size() == 1 ? "direction" : "directions",
                     edit_word(found, 0, args.out, args));
}

/// A line for each direction that steers the first negative prompt with it; it begins with saving
/// them where they were not.
std::vector<std::string> steering(const Context& context,
                                  const std::vector<ConceptDirection>& found, const Prompt& prompt,
                                  const ConceptCommandArgs& args) {
  const std::string file = args.out.empty() ? "directions.safetensors" : args.out,
                    save_first =
                        args.out.empty() ? context.command_line + " --out " + file + " && " : "";
  const std::string model =
      context.model == Context().model ? "" : " --model " + shell_word(context.model);
  const std::string text = prompt.text.empty() ? fmt::format("--ids {}", fmt::join(prompt.ids, ","))
                                               : "--prompt " + shell_word(prompt.text);
  std::vector<std::string> lines;
  for (size_t i = 0; i < found.size(); ++i)
    lines.push_back(fmt::format("{}vitrine generate{} {} --edit {}", save_first, model, text,
                                edit_word(found, i, file, args)));
  return lines;
}

void draw(const Context& context, const std::vector<ConceptDirection>& found,
          const std::vector<Prompt>& positive, const std::vector<Prompt>& negative,
          const ConceptCommandArgs& args) {
  print(draw_table(found, context.out));
  if (found.size() == 1) print(draw_scores(found[0], positive, negative, context.out));
  if (!args.out.empty()) print_as_is(usage(found, args, context.out));
}

void run(const Context& context, const ConceptCommandArgs& args) {
  if (!args.out.empty()) check_array_path(args.out);
  const SiteArg site = parse_site(args.site);
  const Model model = load_model(context);
  const auto positive = read_set(args.positive, args, model),
             negative = read_set(args.negative, args, model);
  ConceptOptions options;
  options.site = site.pattern;
  options.where = site.where;
  options.pooling = concept_pooling_from_name(args.pooling);
  options.edits = parse_edits(args.edits);
  ProgressBar bar({.unit = "tokens"});
  options.progress = &bar;
  const auto found = concept_directions(model, ids_of(positive), ids_of(negative), options);
  bar.erase();
  if (!args.out.empty()) save(found, args, model);
  const ConceptSubject subject{.positive = ids_of(positive),
                               .negative = ids_of(negative),
                               .pooling = options.pooling,
                               .note = narrowing(args),
                               .steering = steering(context, found, negative[0], args)};
  write_page(args.page, context, model,
             [&](const PageSource& source) { return concept_page(found, subject, source); });
  write_figures(args.page, [&](FigureFormat format) { return concept_figure(found, format); });
  if (!context.json) return draw(context, found, positive, negative, args);
  JsonValue json = json_head("concept", model);
  json["pooling"] = args.pooling;
  for (const ConceptDirection& d : found) json["results"].push_back(concept_json(d));
  print_json(json);
}

}  // namespace

void add_concept(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "concept", "Find the direction in which two sets of prompts differ, for steering");
  const auto args = std::make_shared<ConceptCommandArgs>();
  const auto group = "Concept";
  command
      .add_option("--positive", args->positive,
                  "File of prompts with the concept, one per line; .jsonl: objects with \"text\" "
                  "or \"ids\"")
      ->required()
      ->type_name("FILE")
      ->group(group);
  command.add_option("--negative", args->negative, "File of prompts without the concept")
      ->required()
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--site", args->site, "Sites, one direction per site: blocks.4.hook_resid_post")
      ->capture_default_str()
      ->type_name("SITE")
      ->group(group);
  command
      .add_option("--pooling", args->pooling,
                  "Representation of a prompt: last (activation at its last token) or mean (over "
                  "its tokens)")
      ->check(one_of({"last", "mean"}))
      ->capture_default_str()
      ->type_name("WAY")
      ->group(group);
  command
      .add_flag("--special", args->special, "Read text such as <|endoftext|> as the special token")
      ->group(group);
  command
      .add_option("-o,--out", args->out,
                  "Write the directions to FILE.safetensors, for generate --edit SITE=add:FILE*1")
      ->type_name("FILE")
      ->group(group);
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_page_options(command, args->page);
  add_figure_options(command, args->page);
  set_examples(command,
               "  vitrine concept --positive glad.txt --negative sad.txt\n"
               "  vitrine concept --positive glad.txt --negative sad.txt --site "
               "blocks.4.hook_resid_post --out d.safetensors\n"
               "  vitrine concept --positive glad.txt --negative sad.txt --html concept.html --svg "
               "concept.svg\n"
               "  vitrine generate --prompt \"The man\" --edit "
               "\"blocks.4.hook_resid_post=add:d.safetensors*2\"");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
