// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "cli/core/arrays.h"
#include "cli/core/context.h"
#include "cli/core/heat.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/similarity.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct SimilarityCommandArgs {
  PromptArgs prompt;
  std::string measure = "cka", site = SimilarityOptions().site, against, out;
  double variance = SimilarityOptions().variance;
  std::vector<std::string> edits;
  PageArgs page;
};

/// Texts longer than the context, in pieces of it.
Batch pieces_of(const std::vector<Prompt>& prompts, int64_t context) {
  Batch pieces;
  for (const Prompt& prompt : prompts) {
    for (auto at = prompt.ids.begin(); at != prompt.ids.end();) {
      const auto end = at + std::min<std::ptrdiff_t>(context, prompt.ids.end() - at);
      pieces.emplace_back(at, end);
      at = end;
    }
  }
  return pieces;
}

/// Throws Error (user) unless both models read these texts as the same ids.
void check_same_ids(const SimilarityCommandArgs& args, const std::vector<Prompt>& prompts,
                    const Model& against) {
  if (!against.shared_tokenizer()) return;  // ids are what they are
  const std::vector<Prompt> theirs =
      read_prompts(args.prompt, against.shared_tokenizer(), against.name());
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].ids == theirs[i].ids) continue;
    user_error(
        "--against {}: its tokenizer encodes prompt {} differently: expected a model with the same "
        "tokenizer",
        args.against, i);
  }
}

/// "3" for each of blocks.3.hook_resid_post, where all are the same site of several layers; else
/// what tells them apart.
std::vector<std::string> labels_of(const std::vector<std::string>& sites) {
  const auto rest = [](const std::string& site) {
    return site.starts_with("blocks.") ? site.substr(std::min(site.find('.', 7), site.size()))
                                       : site;
  };
  const bool layers = std::all_of(sites.begin(), sites.end(), [&](const std::string& s) {
    return s.starts_with("blocks.") && rest(s) == rest(sites[0]);
  });
  std::vector<std::string> labels;
  for (const std::string& site : sites) {
    std::string label = site.starts_with("blocks.") ? site.substr(7) : site;
    if (layers)
      label = label.substr(0, label.find('.'));
    else if (const size_t hook = label.find("hook_"); hook != std::string::npos)
      label.erase(hook, 5);
    labels.push_back(label);
  }
  return labels;
}

std::string draw(const Similarity& found, const SimilarityCommandArgs& args, const Model& model,
                 const Terminal& out) {
  std::string head =
      fmt::format("{} of {}", args.measure == "cka" ? "linear CKA" : "SVCCA", args.site);
  if (!args.against.empty())
    head += fmt::format(": rows {}, columns {}", model.name(), args.against);
  Heat heat{.corner = "layer", .columns = labels_of(found.columns), .rows = {}, .full = 1};
  const std::vector<std::string> rows = labels_of(found.rows);
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto begin = found.values.begin() + static_cast<std::ptrdiff_t>(r * found.columns.size());
    heat.rows.push_back({rows[r], {begin, begin + std::ssize(found.columns)}});
  }
  std::string text =
      out.paint(Style::kTitle, head) + "\n" + draw_heat(heat, out) +
      out.paint(Style::kDim, fmt::format("cells: hundredths, 100 being alike; {} tokens",
                                         thousands(found.tokens))) +
      "\n";
  if (!found.row_components.empty()) {
    text +=
        out.paint(Style::kDim, fmt::format("components for {:g} of the variance: {}",
                                           found.variance, fmt::join(found.row_components, " "))) +
        "\n";
  }
  return text;
}

JsonValue similarity_json(const Similarity& found, const SimilarityCommandArgs& args) {
  JsonValue json = {{"measure", args.measure},
                    {"tokens", found.tokens},
                    {"passes", found.passes},
                    {"rows", found.rows},
                    {"columns", found.columns}};
  for (size_t r = 0; r < found.rows.size(); ++r) {
    JsonValue row = JsonValue::array();
    for (size_t c = 0; c < found.columns.size(); ++c) row.push_back(found.at(r, c));
    json["values"].push_back(std::move(row));
  }
  if (found.row_components.empty()) return json;
  json["variance"] = found.variance;
  json["row_components"] = found.row_components;
  json["column_components"] = found.column_components;
  return json;
}

void run(const Context& context, const SimilarityCommandArgs& args) {
  if (!args.out.empty()) check_array_path(args.out);
  SiteArg site = parse_site(args.site);
  const Model model = load_model(context);
  std::optional<Model> against;
  if (!args.against.empty()) {
    Context other = context;
    other.model = args.against;
    against = load_model(other);
  }
  const auto prompts = read_prompts(args.prompt, model.shared_tokenizer(), model.name());
  if (against) check_same_ids(args, prompts, *against);
  ProgressBar bar({.unit = "tokens"});
  SimilarityOptions options;
  options.measure = similarity_measure_from_name(args.measure);
  options.site = site.pattern;
  options.where = site.where;
  options.variance = args.variance;
  options.edits = parse_edits(args.edits);
  options.progress = &bar;
  const int64_t length = against ? std::min(model.config().context, against->config().context)
                                 : model.config().context;
  const Batch texts = pieces_of(prompts, length);
  const Similarity found =
      against ? similarity(model, *against, texts, options) : similarity(model, texts, options);
  bar.erase();
  if (!args.out.empty()) {
    write_arrays(args.out,
                 {{"values", tensor_of(DType::kF64, found.values,
                                       {std::ssize(found.rows), std::ssize(found.columns)})}},
                 {{"vitrine", VITRINE_VERSION},
                  {"model", model.name()},
                  {"against", args.against},
                  {"measure", args.measure},
                  {"rows", fmt::format("{}", fmt::join(found.rows, " "))},
                  {"columns", fmt::format("{}", fmt::join(found.columns, " "))}});
  }
  write_page(args.page, context, model, [&](const PageSource& source) {
    return similarity_page(found, source, against ? against->name() : "");
  });
  write_figures(args.page, [&](FigureFormat format) { return similarity_figure(found, format); });
  if (!context.json) return print(draw(found, args, model, context.out));
  JsonValue json = json_head("similarity", model);
  json["against"] = against ? JsonValue(against->name()) : JsonValue(nullptr);
  json["similarity"] = similarity_json(found, args);
  print_json(json);
}

}  // namespace

void add_similarity(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "similarity",
      "Compare representations of the same tokens between layers, or between two models");
  const auto args = std::make_shared<SimilarityCommandArgs>();
  add_prompt_options(command, args->prompt);
  const auto group = "Similarity";
  command
      .add_option("--measure", args->measure,
                  "cka: linear centred kernel alignment (Kornblith 2019); svcca: mean canonical "
                  "correlation of the principal components (Raghu 2017)")
      ->check(one_of({"cka", "svcca"}))
      ->capture_default_str()
      ->type_name("NAME")
      ->group(group);
  command
      .add_option("--site", args->site,
                  "Sites to compare pairwise, with an optional selection: "
                  "blocks.*.hook_resid_post[layers=0..3 positions=-1]")
      ->capture_default_str()
      ->type_name("SITE")
      ->group(group);
  command.add_option("--variance", args->variance, "Share of the variance to keep, 0..1")
      ->check(in_range(0.0, 1.0))
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with("--measure", {"svcca"});
  command
      .add_option("--against", args->against,
                  "Second model with the same tokenizer, whose layers are the columns")
      ->type_name("MODEL")
      ->group(group);
  command.add_option("-o,--out", args->out, "Write the numbers to FILE.safetensors as well")
      ->type_name("FILE")
      ->group(group);
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_page_options(command, args->page);
  add_figure_options(command, args->page);
  set_examples(command,
               "  vitrine similarity --text-file book.txt\n"
               "  vitrine similarity --text-file book.txt --measure svcca --model gpt2 --against "
               "gpt2-medium");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
