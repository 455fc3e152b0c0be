// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "cli/core/analysis_command.h"
#include "cli/core/arrays.h"
#include "cli/core/site_syntax.h"
#include "report/results/results.h"
#include "vitrine/analysis/concepts.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct ConceptCommandArgs : AnalysisArgs {
  std::string positive, negative, site = ConceptOptions().site, pooling = "last";
  bool special = false;
};

std::vector<Prompt> read_set(const std::string& path, const ConceptCommandArgs& args,
                             const AnalysisRun& analysis) {
  PromptArgs prompts{.ids_option = "a .jsonl file with ids"};
  prompts.prompt_file = path;
  prompts.special = args.special;
  return analysis.prompts(prompts);
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

/// "[heads=3]" of a site that is narrowed.
std::string narrowing(const ConceptCommandArgs& args) {
  return args.site.substr(std::min(args.site.find('['), args.site.size()));
}

/// Adding a direction from the file or folder that holds all of them, as a shell reads it.
std::string edit_word(const std::vector<ConceptDirection>& found, size_t which,
                      const std::string& out, const ConceptCommandArgs& args) {
  const std::string& site = found[which].site;
  const std::string from = is_array_folder(out) ? array_file(out, site)
                           : found.size() == 1  ? out
                                                : out + "#" + site;
  return shell_word(fmt::format("{}{}=add:{}*1", site, narrowing(args), from));
}

std::string usage(const std::vector<ConceptDirection>& found, const ConceptCommandArgs& args,
                  const Terminal& out) {
  return out.paint(Style::kTitle, args.output.out) +
         fmt::format(": {} {}. To steer:\nvitrine generate --edit {}\n", found.size(),
                     found.size() == 1 ? "direction" : "directions",
                     edit_word(found, 0, args.output.out, args));
}

/// A line for each direction that steers the first negative prompt with it; it begins with saving
/// them where they were not.
std::vector<std::string> steering(const Context& context,
                                  const std::vector<ConceptDirection>& found, const Prompt& prompt,
                                  const ConceptCommandArgs& args) {
  const std::string file = args.output.out.empty() ? "directions.safetensors" : args.output.out,
                    save_first = args.output.out.empty()
                                     ? context.command_line + " --out " + file + " && "
                                     : "";
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

void run(const Context& context, const ConceptCommandArgs& args) {
  const SiteArg site = parse_site(args.site);
  const AnalysisRun analysis(context, args);
  const auto positive = read_set(args.positive, args, analysis),
             negative = read_set(args.negative, args, analysis);
  ConceptOptions options;
  options.site = site.pattern;
  options.where = site.where;
  options.pooling = concept_pooling_from_name(args.pooling);
  options.edits = parse_edits(args.edits);
  ProgressBar bar({.unit = "tokens"});
  options.progress = &bar;
  const auto found =
      concept_directions(analysis.model(), ids_of(positive), ids_of(negative), options);
  bar.erase();
  const ConceptSubject subject{.positive = ids_of(positive),
                               .negative = ids_of(negative),
                               .pooling = options.pooling,
                               .note = narrowing(args),
                               .steering = steering(context, found, negative[0], args)};
  Result result = concept_result(found, subject, analysis.source());
  result.facts["positive"] = args.positive;
  result.facts["negative"] = args.negative;
  analysis.show(result, [&] {
    return draw_table(found, context.out) +
           (found.size() == 1 ? draw_scores(found[0], positive, negative, context.out) : "");
  });
  if (!context.json && !args.output.out.empty()) print_as_is(usage(found, args, context.out));
}

void add_concept_options(Command& command, ConceptCommandArgs& args) {
  const auto group = "Concept";
  command
      .add_option("--positive", args.positive,
                  "File of prompts with the concept, one per line; .jsonl: objects with \"text\" "
                  "or \"ids\"")
      ->required()
      ->type_name("FILE")
      ->group(group);
  command.add_option("--negative", args.negative, "File of prompts without the concept")
      ->required()
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--site", args.site, "Sites, one direction per site: blocks.4.hook_resid_post")
      ->capture_default_str()
      ->type_name("SITE")
      ->group(group);
  command
      .add_option("--pooling", args.pooling,
                  "Representation of a prompt: last (activation at its last token) or mean (over "
                  "its tokens)")
      ->check(one_of({"last", "mean"}))
      ->capture_default_str()
      ->type_name("WAY")
      ->group(group);
  command
      .add_flag("--special", args.special, "Read text such as <|endoftext|> as the special token")
      ->group(group);
}

}  // namespace

void add_concept(Command& app, Context& context) {
  add_analysis(
      app, context,
      {"concept", "Find the direction in which two sets of prompts differ, for steering",
       "  vitrine concept --positive glad.txt --negative sad.txt\n"
       "  vitrine concept --positive glad.txt --negative sad.txt --site "
       "blocks.4.hook_resid_post --out d.safetensors\n"
       "  vitrine concept --positive glad.txt --negative sad.txt --html concept.html --svg "
       "concept.svg\n"
       "  vitrine generate --prompt \"The man\" --edit "
       "\"blocks.4.hook_resid_post=add:d.safetensors*2\""},
      add_concept_options, run);
}

}  // namespace vitrine::cli
