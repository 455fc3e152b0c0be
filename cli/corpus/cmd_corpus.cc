// SPDX-License-Identifier: MIT
#include <filesystem>
#include <memory>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/capture_args.h"
#include "cli/core/context.h"
#include "cli/core/corpus_args.h"
#include "cli/core/interrupt.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/corpus/corpus_in_python.h"
#include "cli/corpus/estimate_view.h"
#include "vitrine/corpus/corpus_capture.h"
#include "vitrine/corpus/corpus_estimate.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct CorpusCommandArgs {
  CorpusArgs corpus;
  CaptureArgs capture;
  std::vector<std::string> edits;
  int64_t shard_tokens = 0, batch_tokens = 512;
  bool verify = false, repair = false, dry_run = false, covariance = false;
  double disk_rate = 500;  // MB/s
  InPythonArgs in_python;
};

std::string shown_bytes(uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

void verify(Context& context, const std::string& folder) {
  CorpusCheck check;
  {
    ProgressBar progress;
    check = check_corpus_capture(folder, &progress);
  }
  if (context.json) {
    print_json({{"vitrine", VITRINE_VERSION},
                {"command", "corpus"},
                {"verify",
                 {{"path", folder},
                  {"ranks", check.ranks},
                  {"world", check.world},
                  {"shards", check.shards},
                  {"windows", check.windows},
                  {"tokens", check.tokens},
                  {"bytes", check.bytes},
                  {"complete", check.complete},
                  {"problems", check.problems}}}});
  } else if (check.problems.empty()) {
    print(context.out.paint(Style::kTitle, folder) +
          fmt::format(": {} shards of {} of {} ranks, {}, {} tokens: all match their manifests\n",
                      thousands(check.shards), check.ranks, check.world, shown_bytes(check.bytes),
                      thousands(check.tokens)));
    if (!check.complete)
      print("the capture is incomplete; the command that started it resumes it\n");
  }
  if (check.problems.empty()) {
    if (!check.complete) context.status = ExitStatus::kIncomplete;
    return;
  }
  user_error(
      "{}: {} problems in {} shards compared with the manifest: {}{}; the command of the capture "
      "with "
      "--repair makes them again",
      folder, check.problems.size(), check.shards, check.problems[0],
      check.problems.size() > 1 ? "; --json lists all" : "");
}

JsonValue corpus_summary_json(const CorpusCaptureSummary& s, const Rank& rank) {
  return {
      {"path", s.folder.string()},
      {"rank", rank_json(rank)},
      {"complete", s.complete},
      {"shards", s.shards},
      {"resumed_shards", s.resumed_shards},
      {"documents", s.documents},
      {"windows", s.windows},
      {"tokens", s.tokens},
      {"bytes", s.bytes},
      {"shard_tokens", s.shard_tokens},
      {"buffer_bytes", s.buffer_bytes},
      {"non_finite", non_finite_json(s.non_finite, "document")},
      {"skipped", s.skipped},
      {"first_skipped", s.first_skipped.empty() ? JsonValue(nullptr) : JsonValue(s.first_skipped)}};
}

std::string summary_text(const Terminal& out, const CorpusCaptureSummary& s, const Rank& rank,
                         bool as_f16) {
  std::string text = rank_text(rank) + out.paint(Style::kTitle, s.folder.string());
  text += fmt::format(": {} of {} {}{}\n", shown_bytes(s.bytes), thousands(s.shards),
                      s.shards == 1 ? "shard" : "shards",
                      s.resumed_shards > 0
                          ? fmt::format(", {} of them from before", thousands(s.resumed_shards))
                          : "");
  text += fmt::format("{} documents, {} windows, {} tokens\n", thousands(s.documents),
                      thousands(s.windows), thousands(s.tokens));
  text += out.paint(Style::kDim,
                    fmt::format("up to {} tokens a shard; two shards in memory took at most {}",
                                thousands(s.shard_tokens), shown_bytes(s.buffer_bytes))) +
          "\n";
  text += non_finite_text(out, s.non_finite, "document", as_f16);
  text += skipped_text(out, s.skipped, s.first_skipped);
  return text;
}

void print_repair(const Context& context, const Model& model, const CorpusRepair& repair,
                  const Rank& rank) {
  if (context.json) {
    JsonValue json = json_head("corpus", model);
    json["repair"] = {{"path", repair.folder.string()}, {"rank", rank_json(rank)},
                      {"shards", repair.shards},        {"windows", repair.windows},
                      {"tokens", repair.tokens},        {"bytes", repair.bytes},
                      {"complete", repair.complete},    {"repaired", repair.repaired}};
    return print_json(json);
  }
  std::string text = rank_text(rank);
  for (const std::string& line : repair.repaired) text += line + ": made again\n";
  text += context.out.paint(Style::kTitle, repair.folder.string()) +
          fmt::format(": {} of {} shards made again; {}, {} tokens: all match the manifest\n",
                      thousands(std::ssize(repair.repaired)), thousands(repair.shards),
                      shown_bytes(repair.bytes), thousands(repair.tokens));
  if (!repair.complete)
    text += "the capture is incomplete; the command without --repair resumes it\n";
  print(text);
}

bool is_int8(const CorpusCommandArgs& args) { return args.capture.store == "int8"; }

Hooks hooks_of(const CorpusCommandArgs& args) {
  CaptureArgs capture = args.capture;
  if (is_int8(args)) capture.store = "f32";  // rounded when it is put into a shard
  Hooks hooks = parse_edits(args.edits);
  add_sites(hooks, capture);
  return hooks;
}

void dry_run(const Context& context, const CorpusCommandArgs& args, const Hooks& hooks,
             const Rank& rank) {
  const Model model = load_model(context);
  ProgressBar progress({.unit = ""});
  CorpusCaptureOptions capture = {
      .shard_tokens = args.shard_tokens, .batch_tokens = args.batch_tokens, .progress = &progress};
  capture.covariance = args.covariance;
  capture.int8 = is_int8(args);
  const CorpusEstimate estimate =
      estimate_corpus_capture(model, open_corpus(args.corpus, rank, model), hooks, args.capture.out,
                              capture, {.disk_rate = args.disk_rate * 1e6});
  progress.erase();
  if (!context.json)
    return print(
        estimate_text(context.out, estimate, rank, args.capture.out, args.corpus.skip_bad));
  JsonValue json = json_head("corpus", model);
  json["dry_run"] = estimate_json(estimate, rank, args.capture.out);
  print_json(json);
}

void run(Context& context, const CorpusCommandArgs& args) {
  if (args.verify) return verify(context, args.capture.out);
  if (!args.in_python.to.empty())
    convert_capture(context, args.in_python, args.corpus, args.capture);
  if (args.capture.sites.empty())
    user_error("missing --capture SITE: expected a site; or use --verify to check {}",
               args.capture.out);
  if (args.repair && !std::filesystem::exists(args.capture.out))
    user_error("{}: missing: expected the folder of the capture for --repair", args.capture.out);
  const Hooks hooks = hooks_of(args);
  if (!args.in_python.ray.empty()) {
    if (is_int8(args))
      user_error("--store int8 cannot be used with --ray: expected f32, f16 or bf16");
    capture_on_ray(context, args.in_python, args.corpus, HookFile::of(hooks), args.capture.out,
                   args.shard_tokens, args.batch_tokens);
  }
  const Rank rank = rank_of(args.corpus);
  if (args.dry_run) return dry_run(context, args, hooks, rank);
  const Model model = load_model(context);
  CorpusCaptureOptions options;
  options.shard_tokens = args.shard_tokens;
  options.batch_tokens = args.batch_tokens;
  options.covariance = args.covariance;
  options.int8 = is_int8(args);
  WindowReader windows = open_corpus(args.corpus, rank, model);
  options.weights_digest = weights_digest(context.model);
  set_interruption_note("the same command goes on after the last complete shard in " +
                        quote(args.capture.out));
  CorpusCaptureSummary summary;
  CorpusRepair repair;
  {
    ProgressBar progress({.unit = args.repair ? "" : "tokens"});
    options.progress = &progress;
    if (args.repair)
      repair = repair_corpus(model, std::move(windows), hooks, args.capture.out, options);
    else
      summary = capture_corpus(model, std::move(windows), hooks, args.capture.out, options);
  }
  if (args.repair) return print_repair(context, model, repair, rank);
  if (context.json) {
    JsonValue json = json_head("corpus", model);
    json["corpus"] = corpus_summary_json(summary, rank);
    print_json(json);
  } else {
    print(summary_text(context.out, summary, rank, args.capture.store == "f16"));
  }
}

}  // namespace

void add_corpus(Command& app, Context& context) {
  Command command =
      app.add_subcommand("corpus", "Write activations on a whole corpus to shards, resumable");
  const auto args = std::make_shared<CorpusCommandArgs>();
  add_corpus_options(command, args->corpus);
  add_site_options(command, args->capture, {{"--capture"}}, true);
  add_edit_option(command, args->edits);
  const auto group = "Shards";
  command
      .add_option("-o,--out", args->capture.out,
                  "Folder of the shards; an interrupted run in it is resumed")
      ->required()
      ->type_name("FOLDER")
      ->group(group);
  command
      .add_option("--shard-tokens", args->shard_tokens, "Maximum tokens per shard [about 128 MB]")
      ->check(above_zero())
      ->type_name("N")
      ->group(group);
  command
      .add_option("--batch-tokens", args->batch_tokens,
                  "Maximum tokens per forward pass; results do not depend on it")
      ->check(above_zero())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command
      .add_flag(
          "--verify", args->verify,
          "Only compare every shard of the folder with its checksum in the manifest; exit status 3 "
          "for an incomplete corpus")
      ->group(group);
  command
      .add_flag(
          "--repair", args->repair,
          "Make damaged and missing shards of this rank again, with the same bytes; the other "
          "options are those of the capture")
      ->group(group)
      ->not_with("--verify");
  command
      .add_flag("--covariance", args->covariance,
                "Covariances, too, in statistics.safetensors, which has means and variances")
      ->group(group);
  command
      .add_flag("--dry-run", args->dry_run,
                "Write nothing: estimate size and time from a sample of the corpus and a second of "
                "passes")
      ->group(group)
      ->not_with("--verify")
      ->not_with("--repair");
  command
      .add_option("--disk-rate", args->disk_rate,
                  "Megabytes per second that the disk is assumed to write and to read")
      ->check(above_zero())
      ->capture_default_str()
      ->type_name("MB")
      ->group(group)
      ->only_with("--dry-run");
  add_model_options(command, context);
  add_output_options(command, context);
  add_in_python_options(command, args->in_python);
  command.only_uses("--verify", {"--out"});
  set_examples(command,
               "  vitrine corpus stories.jsonl --capture \"blocks.*.hook_resid_post\" --store f16 "
               "--out acts/\n"
               "  srun -n 8 vitrine corpus wiki/*.txt --split paragraph --capture "
               "\"blocks.3.mlp.hook_post\" --out acts/");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
