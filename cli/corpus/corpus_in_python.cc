// SPDX-License-Identifier: MIT
#include "cli/corpus/corpus_in_python.h"

#include <algorithm>

#include "base/check.h"
#include "cli/core/start_python.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// Nothing where the option was not given, so that the package's own default holds.
JsonValue given(const std::string& text) { return text.empty() ? JsonValue() : JsonValue(text); }

void add_cluster_options(Command& command, InPythonArgs& args) {
  const auto group = "Cluster";
  command
      .add_option("--ray", args.ray,
                  "Capture on a cluster of Ray, by the Python package: auto, HOST:PORT, ray://..., "
                  "or local for a cluster of this machine alone")
      ->type_name("ADDRESS")
      ->group(group);
  command
      .add_option(
          "--parts", args.parts,
          "Parts of the corpus, several for each actor; a resumed run needs the same number")
      ->check(above_zero())
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with("--ray");
  command
      .add_option("--actors", args.actors,
                  "Actors, each with the model in memory: their number, or LEAST,MOST [1,PARTS, as "
                  "resources allow]")
      ->check(in_range(1, 1 << 20))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("N")
      ->group(group)
      ->only_with("--ray");
  command.add_option("--cpus", args.cpus, "CPUs of an actor, a part of one too [--threads, or 1]")
      ->check(above_zero())
      ->type_name("X")
      ->group(group)
      ->only_with("--ray");
  command
      .add_option("--gpus", args.gpus,
                  "GPUs of an actor, a part of one too [1 with --device cuda, or 0]")
      ->check(not_negative())
      ->type_name("X")
      ->group(group)
      ->only_with("--ray");
}

}  // namespace

void add_in_python_options(Command& command, InPythonArgs& args) {
  add_cluster_options(command, args);
  command
      .add_option(
          "--to", args.to,
          "Only write a capture, which FILE is the folder of, as another program reads it, "
          "by the Python package: sae-lens, its cached activations in sequences of --window "
          "tokens [the capture's]")
      ->check(one_of({"sae-lens"}))
      ->type_name("FORMAT")
      ->group("Shards");
  command.only_uses(
      "--ray",
      {"files",     "--split",      "--field",        "--skip-bad",     "--window",  "--overlap",
       "--prepend", "--prepend-id", "--special",      "--capture",      "--store",   "--edit",
       "--hooks",   "--out",        "--shard-tokens", "--batch-tokens", "--parts",   "--actors",
       "--cpus",    "--gpus",       "--model",        "--tokenizer",    "--bos",     "--adapter",
       "--device",  "--gemm",       "--arithmetic",   "--dtype",        "--threads", "--progress"});
  command.only_uses("--to", {"files", "--capture", "--window", "--out"});
}

void capture_on_ray(const Context& context, const InPythonArgs& args, const CorpusArgs& corpus,
                    const HookFile& hooks, const std::string& out, int64_t shard_tokens,
                    int64_t batch_tokens) {
  if (std::find(corpus.files.begin(), corpus.files.end(), "-") != corpus.files.end())
    user_error("standard input (-) cannot be read by the actors of --ray: expected files");
  if (args.actors.size() > 2 || (args.actors.size() == 2 && args.actors[0] > args.actors[1]))
    user_error("invalid --actors: expected a number, or LEAST,MOST");
  JsonValue options = {{"split", corpus.split},        {"field", corpus.field},
                       {"skip_bad", corpus.skip_bad},  {"window", corpus.window},
                       {"overlap", corpus.overlap},    {"special", corpus.special},
                       {"batch_tokens", batch_tokens}, {"shard_tokens", shard_tokens},
                       {"prepend", corpus.prepend_id}};
  if (corpus.prepend) options["prepend"] = true;
  start_python("--ray", {{"do", "ray"},
                         {"address", args.ray},
                         {"json", context.json},
                         {"progress", context.progress},
                         {"paths", corpus.files},
                         {"out", out},
                         {"parts", args.parts},
                         {"actors", JsonValue(std::vector<int32_t>(args.actors))},
                         {"cpus", args.cpus},
                         {"gpus", args.gpus},
                         {"hooks", hooks.json()},
                         {"model", context.model},
                         {"loading",
                          {{"device", context.device},
                           {"dtype", given(context.dtype)},
                           {"tokenizer", given(context.tokenizer)},
                           {"bos", context.bos},
                           {"adapter", given(context.adapter)},
                           {"threads", context.threads},
                           {"gemm", context.gemm},
                           {"arithmetic", context.arithmetic}}},
                         {"options", options}});
}

void convert_capture(const Context& context, const InPythonArgs& args, const CorpusArgs& corpus,
                     const CaptureArgs& capture) {
  if (corpus.files.size() != 1)
    user_error("--to {} needs one folder of a capture: {} were given", args.to,
               corpus.files.size());
  if (capture.sites.size() > 1)
    user_error("--to {} writes one site: {} were given by --capture", args.to,
               capture.sites.size());
  start_python("--to", {{"do", args.to},
                        {"json", context.json},
                        {"from", corpus.files[0]},
                        {"out", capture.out},
                        {"site", given(capture.sites.empty() ? "" : capture.sites[0])},
                        {"window", corpus.window}});
}

}  // namespace vitrine::cli
