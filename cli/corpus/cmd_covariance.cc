// SPDX-License-Identifier: MIT
#include <memory>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/arrays.h"
#include "cli/core/capture_args.h"
#include "cli/core/context.h"
#include "cli/core/corpus_args.h"
#include "cli/core/interrupt.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/table_args.h"
#include "cli/corpus/covariance_data.h"
#include "cli/corpus/covariance_view.h"
#include "report/results/results.h"
#include "vitrine/corpus/corpus_moments.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct CovarianceCommandArgs {
  CorpusArgs corpus;
  CaptureArgs capture;
  std::vector<std::string> edits, merge;
  std::string data, values, fweights, aweights, state;
  TableArgs table;
  bool rows_are_variables = false;
  std::optional<int64_t> ddof;
  bool bias = false;
  int64_t components = 3, top = 10, batch_tokens = 512, save_tokens = 1 << 20;
  ResultArgs output;

  int64_t chosen_ddof() const { return ddof.value_or(bias ? 0 : 1); }
  bool has_table() const { return !data.empty() || !values.empty(); }
  SeriesOptions series_options() const {
    SeriesOptions options{.fweights = fweights, .aweights = aweights, .table = table.options()};
    options.table.rows_are_variables = rows_are_variables;
    return options;
  }
};

void check_args(const CovarianceCommandArgs& args) {
  if (args.corpus.files.empty() && !args.has_table() && args.merge.empty())
    user_error(
        "missing data: expected files of a corpus with --capture SITE, --data TABLE, --values "
        "\"1 2; 3 4\" or --merge STATE...");
  if (!args.corpus.files.empty() && args.capture.sites.empty())
    user_error("missing --capture SITE: expected the activations that are the variables");
  if (args.corpus.files.empty() && !args.capture.sites.empty())
    user_error("missing files of a corpus for --capture: expected at least one");
  if (!args.state.empty()) check_array_path(args.state);
}

/// A matrix and what its view shows.
struct Found {
  std::string name;
  std::vector<std::string> variables;
  Covariance covariance;
  PrincipalComponents components = {};

  CovarianceView view(const CovarianceCommandArgs& args) {
    components = principal_components(covariance, args.components);
    return {
        .covariance = &covariance, .title = name, .names = variables, .components = &components};
  }
};

/// Writes the requested files, and prints the results.
void show(const Context& context, const CovarianceCommandArgs& args,
          const std::vector<CovarianceView>& views, const PageSource& source, JsonValue json,
          const std::string& notes) {
  const auto rows = static_cast<size_t>(args.top);
  if (!args.output.html.empty()) check_covariance_page(views);
  if (!args.output.svg.empty() || !args.output.png.empty()) check_covariance_figure(views);
  const std::vector<Result> results = described(
      std::span(views), [&](const CovarianceView& view) { return covariance_result(view, rows); });
  write_results(args.output, results, source);
  if (context.json) {
    json["results"] = JsonValue::array();
    for (const Result& result : results)
      json["results"].push_back(result_json(result, Names(nullptr)));
    return print_json(json);
  }
  for (size_t i = 0; i < results.size(); ++i)
    print((i > 0 ? "\n" : "") + covariance_text(context.out, views[i], results[i], rows));
  print(notes);
}

PageSource without_model(const Context& context) {
  return {.model = {}, .device = {}, .dtype = {}, .command = context.command_line};
}

/// fweights * aweights; empty without weights.
std::vector<double> weights_of(const SeriesTable& table) {
  std::vector<double> weights(table.fweights.begin(), table.fweights.end());
  if (weights.empty()) return table.aweights;
  for (size_t i = 0; i < table.aweights.size(); ++i) weights[i] *= table.aweights[i];
  return weights;
}

void run_data(const Context& context, const CovarianceCommandArgs& args) {
  const SeriesTable table = args.data.empty() ? parse_series(args.values, args.series_options())
                                              : read_series(args.data, args.series_options());
  const auto n = static_cast<int64_t>(table.names.size());
  Found found{.name = args.data.empty() ? "values" : args.data,
              .variables = table.names,
              .covariance =
                  covariance({table.values, table.observations, n}, {.rowvar = false,
                                                                     .ddof = args.chosen_ddof(),
                                                                     .fweights = table.fweights,
                                                                     .aweights = table.aweights})};
  std::vector<double> rows;
  for (size_t i = 0; i < table.names.size(); ++i) {
    const std::vector<double> series = table.series(i);
    rows.insert(rows.end(), series.begin(), series.end());
  }
  const std::vector<double> weights = weights_of(table);
  CovarianceView view = found.view(args);
  view.series = {rows, n, table.observations};
  view.weights = weights;
  show(context, args, {view}, without_model(context),
       {{"vitrine", VITRINE_VERSION}, {"command", "covariance"}}, "");
}

JsonValue moments_json(const CorpusMoments& moments) {
  return {{"complete", moments.complete},
          {"resumed", moments.resumed},
          {"documents", moments.documents},
          {"windows", moments.windows},
          {"tokens", moments.tokens},
          {"skipped", moments.skipped},
          {"first_skipped",
           moments.first_skipped.empty() ? JsonValue(nullptr) : JsonValue(moments.first_skipped)}};
}

void show_moments(const Context& context, const CovarianceCommandArgs& args,
                  const CorpusMoments& moments, const PageSource& source, JsonValue json,
                  std::string notes) {
  std::vector<Found> found;
  for (const SiteMoments& site : moments.sites)
    found.push_back({.name = site.site,
                     .variables = site.variables,
                     .covariance = site.moments.covariance(args.chosen_ddof())});
  std::vector<CovarianceView> views;
  for (Found& each : found) views.push_back(each.view(args));
  json["corpus"].update(moments_json(moments));
  notes = fmt::format("\n{} documents, {} windows, {} tokens\n", thousands(moments.documents),
                      thousands(moments.windows), thousands(moments.tokens)) +
          notes + skipped_text(context.out, moments.skipped, moments.first_skipped);
  show(context, args, views, source, json, notes);
}

void run_merge(const Context& context, const CovarianceCommandArgs& args) {
  const CorpusMoments moments = merge_moments({args.merge.begin(), args.merge.end()});
  if (!args.state.empty()) write_moments(moments, args.state);
  show_moments(context, args, moments, without_model(context),
               {{"vitrine", VITRINE_VERSION},
                {"command", "covariance"},
                {"corpus", {{"merged", args.merge}}}},
               "");
}

void run_corpus(const Context& context, const CovarianceCommandArgs& args) {
  Hooks hooks = parse_edits(args.edits);
  add_sites(hooks, args.capture);
  const Rank rank = rank_of(args.corpus);
  if (rank.world > 1 && args.state.empty())
    user_error(
        "missing --state for rank {} of {}: use --state FILE.safetensors, and --merge the states "
        "of all ranks",
        rank.rank, rank.world);
  const Model model = load_model(context);
  CorpusMomentsOptions options;
  options.state = args.state;
  options.save_tokens = args.save_tokens;
  options.batch_tokens = args.batch_tokens;
  WindowReader windows = open_corpus(args.corpus, rank, model);
  if (!args.state.empty()) options.weights_digest = weights_digest(context.model);
  set_interruption_note(args.state.empty() ? "no sums are saved without --state"
                                           : "the same command resumes from " + quote(args.state));
  CorpusMoments moments;
  {
    ProgressBar progress({.unit = "tokens"});
    options.progress = &progress;
    moments = corpus_moments(model, std::move(windows), hooks, options);
  }
  JsonValue json = json_head("covariance", model);
  json["corpus"] = {{"rank", rank_json(rank)}};
  show_moments(context, args, moments, PageSource::of(model, context.command_line), std::move(json),
               rank_text(rank));
}

void run(const Context& context, const CovarianceCommandArgs& args) {
  check_args(args);
  if (args.has_table()) return run_data(context, args);
  if (!args.merge.empty()) return run_merge(context, args);
  run_corpus(context, args);
}

}  // namespace

void add_covariance(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "covariance",
      "Show the covariance of activations over a corpus, or of the columns of a table");
  const auto args = std::make_shared<CovarianceCommandArgs>();
  add_corpus_options(command, args->corpus);
  add_site_options(command, args->capture);
  add_edit_option(command, args->edits);
  const auto group = "Covariance";
  command
      .add_option("--data", args->data,
                  "Table instead of a corpus, whose columns are the variables: text with a header "
                  "line, separated by commas, semicolons, tabs or blanks; or .npy")
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--values", args->values,
                  "The same as typed: rows separated by semicolons, numbers by blanks or commas")
      ->type_name("\"1 2; 3 4\"")
      ->group(group);
  add_table_options(command, args->table, "--data", group);
  command
      .add_flag("--rows-are-variables", args->rows_are_variables,
                "Rows of --data or --values are the variables, as numpy.cov has it by default")
      ->group(group)
      ->only_with({{"--data"}, {"--values"}});
  command
      .add_option("--fweights", args->fweights,
                  "Column of --data with the frequency of each row: 0, 1, 2, ...")
      ->type_name("COLUMN")
      ->group(group)
      ->only_with({{"--data"}, {"--values"}});
  command
      .add_option("--aweights", args->aweights,
                  "Column of --data with the weight of each row: 0 or more")
      ->type_name("COLUMN")
      ->group(group)
      ->only_with({{"--data"}, {"--values"}});
  command
      .add_option(
          "--ddof", args->ddof,
          "Number subtracted from the number of observations in the divisor [1; with --bias 0]")
      ->type_name("N")
      ->group(group);
  command.add_flag("--bias", args->bias, "Divide by N instead of N - 1")
      ->group(group)
      ->not_with("--ddof");
  command.add_option("--components", args->components, "Number of principal components")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with({{"--json"}, {"--out"}, {"--html"}});
  command
      .add_option("--top", args->top, "Number of eigenvalues and strongest correlations to list")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command
      .add_option("--state", args->state,
                  "State file of the sums, FILE.safetensors; an existing one is resumed")
      ->type_name("FILE")
      ->group(group);
  command.add_option("--save-tokens", args->save_tokens, "Tokens between two writes of the state")
      ->check(above_zero())
      ->capture_default_str()
      ->type_name("TOKENS")
      ->group(group)
      ->only_with("--state");
  command.add_option("--merge", args->merge, "States of a corpus's ranks to merge")
      ->type_name("STATE...")
      ->group(group);
  command
      .add_option("--batch-tokens", args->batch_tokens,
                  "Maximum tokens per forward pass; results do not depend on it")
      ->check(above_zero())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  add_model_options(command, context);
  add_output_options(command, context);
  add_result_options(command, args->output);
  std::vector<std::string> used = {"--ddof", "--bias", "--components", "--top", "--out",
                                   "--csv",  "--html", "--svg",        "--png"};
  used.emplace_back("--state");
  command.only_uses("--merge", used);
  used.back() = "--fweights";
  used.insert(used.end(), {"--aweights", "--rows-are-variables"});
  command.only_uses("--values", used);
  used.insert(used.end(), {"--header", "--no-header"});
  command.only_uses("--data", used);
  set_examples(command,
               "  vitrine covariance stories.jsonl --capture \"blocks.3.hook_resid_post\" --out "
               "covariance.safetensors\n"
               "  vitrine covariance --data series.csv\n"
               "  vitrine covariance --values \"2 1; 4 3; 6 8\"");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
