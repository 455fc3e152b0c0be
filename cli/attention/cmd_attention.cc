// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <memory>
#include <optional>

#include "cli/attention/attention_view.h"
#include "cli/core/arrays.h"
#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/attention.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct AttentionCommandArgs {
  PromptArgs prompt;
  std::string mode = "maps", layers, heads, position = "-1", out;
  double max_work = AttentionFlowOptions().max_work;
  int sequences = RepetitionOptions().sequences, bos_id = -1;
  int64_t length = 0;
  uint64_t seed = 0;
  bool no_bos = false;
  std::vector<std::string> edits;
  PageArgs page;
};

Indices<int> layers_of(const AttentionCommandArgs& args) {
  return args.layers.empty() ? Indices<int>()
                             : parse_site("[layers=" + args.layers + "]").where.layers;
}

Indices<int> heads_of(const AttentionCommandArgs& args) {
  return args.heads.empty() ? Indices<int>() : parse_site("[heads=" + args.heads + "]").where.heads;
}

Indices<int64_t> queries_of(const AttentionCommandArgs& args) {
  return args.position == "all" ? Indices<int64_t>()
                                : parse_site("[positions=" + args.position + "]").where.positions;
}

/// What a mode has to say: each caller of the command takes what it wants.
struct AttentionAnswer {
  JsonValue results = JsonValue::array();
  Arrays arrays;
  std::string text;
  /// A page, or a figure of that format.
  std::function<std::string(const PageSource&, std::optional<FigureFormat>)> picture;
};

std::string picture_of(std::span<const AttentionViews> views, const PageSource& source,
                       std::optional<FigureFormat> format) {
  return format ? attention_figure(views, source, *format) : attention_page(views, source);
}

template <typename T>
JsonValue list(std::span<const T> values) {
  return JsonValue(std::vector<T>(values.begin(), values.end()));
}

class AttentionCommand {
 public:
  AttentionCommand(const Context& context, const AttentionCommandArgs& args, const Model& model)
      : context_(context),
        args_(args),
        model_(model),
        names_(model.shared_tokenizer()),
        prompts_(read_prompts(args.prompt, model)) {}

  AttentionAnswer maps() {
    AttentionAnswer answer;
    const AttentionOptions options{.layers = layers_of(args_),
                                   .heads = heads_of(args_),
                                   .queries = queries_of(args_),
                                   .edits = parse_edits(args_.edits)};
    std::vector<AttentionMaps> all;
    for (size_t i = 0; i < prompts_.size(); ++i) {
      const AttentionMaps& found = all.emplace_back(attention(model_, prompts_[i].ids, options));
      JsonValue result = head_of(i, found.layers, found.queries);
      result["heads"] = found.heads;
      std::vector<float> values;
      for (size_t l = 0; l < found.layers.size(); ++l) {
        for (size_t h = 0; h < found.heads.size(); ++h) {
          JsonValue rows = JsonValue::array();
          for (size_t q = 0; context_.json && q < found.queries.size(); ++q)
            rows.push_back(list(found.row(l, h, q)));
          result["maps"].push_back(
              {{"layer", found.layers[l]}, {"head", found.heads[h]}, {"rows", std::move(rows)}});
          const auto map = found.map(l, h);
          if (!args_.out.empty()) values.insert(values.end(), map.begin(), map.end());
        }
      }
      answer.results.push_back(std::move(result));
      answer.text += title(i) + draw_maps(found, names_, context_.out);
      if (args_.out.empty()) continue;
      add_index(answer.arrays, i, found.ids, found.queries, found.layers);
      if (i == 0)
        answer.arrays.emplace_back("heads",
                                   tensor_of(DType::kI32, found.heads, {std::ssize(found.heads)}));
      answer.arrays.emplace_back(fmt::format("maps.{}", i),
                                 tensor_of(DType::kF32, values,
                                           {std::ssize(found.layers), std::ssize(found.heads),
                                            std::ssize(found.queries), std::ssize(found.ids)}));
    }
    answer.picture = [all](const PageSource& source, std::optional<FigureFormat> format) {
      std::vector<AttentionViews> views;
      for (const AttentionMaps& maps : all) views.push_back({.maps = &maps});
      return picture_of(views, source, format);
    };
    return answer;
  }

  AttentionAnswer relevance(bool flow) {
    AttentionAnswer answer;
    std::vector<AttentionRelevance> all;
    for (size_t i = 0; i < prompts_.size(); ++i) {
      const AttentionRelevance& found =
          all.emplace_back(flow ? flow_of(prompts_[i]) : rollout_of(prompts_[i]));
      JsonValue result = head_of(i, found.layers, found.queries);
      for (size_t l = 0; l < found.layers.size(); ++l) {
        JsonValue rows = JsonValue::array();
        for (size_t q = 0; q < found.queries.size(); ++q) rows.push_back(list(found.row(l, q)));
        result["values"].push_back(std::move(rows));
      }
      answer.results.push_back(std::move(result));
      answer.text += title(i) + draw_relevance(found, names_, context_.out);
      add_index(answer.arrays, i, found.ids, found.queries, found.layers);
      answer.arrays.emplace_back(
          fmt::format("{}.{}", args_.mode, i),
          tensor_of(DType::kF64, found.values,
                    {std::ssize(found.layers), std::ssize(found.queries), std::ssize(found.ids)}));
    }
    answer.picture = [all, flow](const PageSource& source, std::optional<FigureFormat> format) {
      std::vector<AttentionViews> views;
      for (const AttentionRelevance& found : all)
        views.push_back({.rollout = flow ? nullptr : &found, .flow = flow ? &found : nullptr});
      return picture_of(views, source, format);
    };
    return answer;
  }

  AttentionAnswer heads() {
    ProgressBar bar({.unit = ""});
    const Hooks edits = parse_edits(args_.edits);
    const auto found = head_statistics(
        model_, ids_of(prompts_),
        {.layers = layers_of(args_), .heads = heads_of(args_), .edits = edits, .progress = &bar});
    RepetitionOptions options{.layers = found.layers,
                              .heads = found.heads,
                              .sequences = args_.sequences,
                              .length = args_.length};
    if (args_.no_bos || args_.bos_id >= 0) options.bos = args_.bos_id;
    options.seed = args_.seed;
    options.edits = edits;
    options.progress = &bar;
    const auto scores = repetition_scores(model_, options);
    bar.erase();
    JsonValue result = {
        {"layers", found.layers}, {"heads", found.heads}, {"queries", found.queries}};
    result["repetition"] = {
        {"sequences", scores.sequences}, {"length", scores.length}, {"seed", args_.seed}};
    result["repetition"]["bos"] = scores.bos ? names_.json(*scores.bos) : JsonValue(nullptr);
    AttentionAnswer answer;
    const Shape shape{std::ssize(found.layers), std::ssize(found.heads)};
    answer.arrays = {{"layers", tensor_of(DType::kI32, found.layers, {shape[0]})},
                     {"heads", tensor_of(DType::kI32, found.heads, {shape[1]})}};
    const std::vector<std::pair<const char*, const std::vector<double>*>> all = {
        {"entropy", &found.entropy},
        {"distance", &found.distance},
        {"current_token", &found.current_token},
        {"previous_token", &found.previous_token},
        {"first_token", &found.first_token},
        {"duplicate_token", &scores.duplicate_token},
        {"induction", &scores.induction}};
    for (const auto& [name, values] : all) {
      for (size_t l = 0; l < found.layers.size(); ++l) {
        result[name].push_back(
            list(std::span(*values).subspan(found.cell(l, 0), found.heads.size())));
      }
      answer.arrays.emplace_back(name, tensor_of(DType::kF64, *values, shape));
    }
    answer.results.push_back(std::move(result));
    answer.picture = [found, scores](const PageSource& source, std::optional<FigureFormat> format) {
      const AttentionViews views{.statistics = &found, .repetition = &scores};
      return picture_of({&views, 1}, source, format);
    };
    answer.text = draw_heads(found, scores, context_.out);
    return answer;
  }

 private:
  AttentionRelevance rollout_of(const Prompt& prompt) const {
    ProgressBar bar({.unit = ""});
    return attention_rollout(model_, prompt.ids,
                             {.layers = layers_of(args_),
                              .queries = queries_of(args_),
                              .edits = parse_edits(args_.edits),
                              .progress = &bar});
  }

  AttentionRelevance flow_of(const Prompt& prompt) const {
    ProgressBar bar({.unit = "edges"});
    AttentionFlowOptions options{.queries = queries_of(args_),
                                 .edits = parse_edits(args_.edits),
                                 .max_work = args_.max_work,
                                 .progress = &bar};
    if (!args_.layers.empty()) options.layers = layers_of(args_);
    return attention_flow(model_, prompt.ids, options);
  }

  JsonValue head_of(size_t i, const std::vector<int>& layers,
                    const std::vector<int64_t>& queries) const {
    JsonValue result = {{"layers", layers}, {"positions", queries}};
    add_text(result["prompt"], prompts_[i].text);
    result["prompt"]["tokens"] = names_.json(prompts_[i].ids);
    return result;
  }

  std::string title(size_t i) const {
    const std::string text = prompts_[i].text.empty()
                                 ? fmt::format("{} ids", prompts_[i].ids.size())
                                 : printable(prompts_[i].text);
    return (i > 0 ? "\n" : "") + context_.out.paint(Style::kTitle, text) + "\n" +
           context_.out.paint(Style::kDim, what()) + "\n";
  }

  std::string what() const {
    if (args_.mode == "maps") return "attention";
    return fmt::format(
        "attention {}: a method for encoders, extended to causal maps, where the first tokens "
        "collect more",
        args_.mode);
  }

  void add_index(Arrays& arrays, size_t i, const std::vector<int32_t>& ids,
                 const std::vector<int64_t>& queries, const std::vector<int>& layers) const {
    if (i == 0) arrays.emplace_back("layers", tensor_of(DType::kI32, layers, {std::ssize(layers)}));
    arrays.emplace_back(fmt::format("ids.{}", i), tensor_of(DType::kI32, ids, {std::ssize(ids)}));
    arrays.emplace_back(fmt::format("positions.{}", i),
                        tensor_of(DType::kI64, queries, {std::ssize(queries)}));
  }

  const Context& context_;
  const AttentionCommandArgs& args_;
  const Model& model_;
  Names names_;
  std::vector<Prompt> prompts_;
};

void run(const Context& context, const AttentionCommandArgs& args) {
  if (!args.out.empty()) check_array_path(args.out);
  const Model model = load_model(context);
  AttentionCommand command(context, args, model);
  const AttentionAnswer answer = args.mode == "heads"  ? command.heads()
                                 : args.mode == "maps" ? command.maps()
                                                       : command.relevance(args.mode == "flow");
  if (!args.out.empty())
    write_arrays(args.out, answer.arrays,
                 {{"vitrine", VITRINE_VERSION}, {"model", model.name()}, {"attention", args.mode}});
  write_page(args.page, context, model,
             [&](const PageSource& source) { return answer.picture(source, {}); });
  write_figures(args.page,
                [&](FigureFormat format) { return answer.picture(PageSource::of(model), format); });
  if (!context.json) return print(answer.text);
  JsonValue json = json_head("attention", model);
  json["mode"] = args.mode;
  json["results"] = answer.results;
  print_json(json);
}

void add_own_options(Command& command, AttentionCommandArgs& args) {
  const auto group = "Attention";
  command
      .add_option("--mode", args.mode,
                  "maps: maps of single heads; rollout, flow: their composition over the layers "
                  "(Abnar & Zuidema 2020; published for encoders, causal maps are an extension); "
                  "heads: statistics of each head on the text, and on repeated random tokens")
      ->check(one_of({"maps", "rollout", "flow", "heads"}))
      ->capture_default_str()
      ->type_name("MODE")
      ->group(group);
  command.add_option("--layers", args.layers, "Blocks, from 0: 0..3,-1 [all; flow: the last]")
      ->type_name("LIST")
      ->group(group);
  command.add_option("--heads", args.heads, "Heads: 0,5 [all]")
      ->type_name("LIST")
      ->group(group)
      ->only_with("--mode", {"maps", "heads"});
  command
      .add_option("--position", args.position,
                  "Query positions, negative from the end: -1 or 0..3,7, or all (for flow at a "
                  "cost of T^4)")
      ->capture_default_str()
      ->type_name("LIST")
      ->group(group)
      ->only_with("--mode", {"maps", "rollout", "flow"});
  command
      .add_option("--max-work", args.max_work, "Maximum number of edges of all networks together")
      ->check(above_zero())
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with("--mode", {"flow"});
  command
      .add_option("--sequences", args.sequences,
                  "Number of random sequences for the duplicate-token and induction scores")
      ->check(in_range(1, 100000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with("--mode", {"heads"});
  command
      .add_option("--length", args.length,
                  "Number of random tokens that are repeated [50, or fewer in a short context]")
      ->check(above_zero())
      ->type_name("N")
      ->group(group)
      ->only_with("--mode", {"heads"});
  command.add_option("--seed", args.seed, "Seed of the random tokens")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("SEED")
      ->group(group)
      ->only_with("--mode", {"heads"});
  command
      .add_option("--bos-id", args.bos_id, "Id of the token before the random ones [end of text]")
      ->check(not_negative())
      ->type_name("ID")
      ->group(group)
      ->only_with("--mode", {"heads"});
  command.add_flag("--no-bos", args.no_bos, "No token before the random ones")
      ->group(group)
      ->only_with("--mode", {"heads"})
      ->not_with("--bos-id");
  command.add_option("-o,--out", args.out, "Write the numbers to FILE.safetensors as well")
      ->type_name("FILE")
      ->group(group);
}

}  // namespace

void add_attention(Command& app, Context& context) {
  Command command =
      app.add_subcommand("attention", "Show attention: maps, rollout, flow and head statistics");
  const auto args = std::make_shared<AttentionCommandArgs>();
  add_prompt_options(command, args->prompt);
  add_own_options(command, *args);
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_page_options(command, args->page);
  add_figure_options(command, args->page);
  set_examples(command,
               "  vitrine attention --prompt \"The keys to the cabinet\" --mode rollout\n"
               "  vitrine attention --prompt \"Heathrow airport is located in the city of\" "
               "--layers 4 --heads 0,1 --position all");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
