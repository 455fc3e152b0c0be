// SPDX-License-Identifier: MIT
#include "cli/bench/bench_options.h"

#include <fmt/format.h>

#include "bench/measure/sizes.h"
#include "bench/workloads/hook_sets.h"

namespace vitrine::cli {
using namespace internal;
namespace {

using bench::BenchOptions;

void add_subject_options(Command& command, BenchArgs& args) {
  const auto group = "Model";
  BenchOptions& options = args.options;
  command
      .add_option("--size", args.sizes,
                  fmt::format("Model shapes with random weights, a list: {} [gpt2]",
                              fmt::join(bench::size_names(), ",")))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("SIZES")
      ->group(group);
  command
      .add_option("-m,--model", args.model,
                  "Checkpoint instead of --size: its directory or file, demo, or a name in the "
                  "Hugging Face cache")
      ->type_name("MODEL")
      ->group(group)
      ->not_with("--size");
  command
      .add_option("--device", options.devices,
                  "Devices, a list: cpu, cuda (the first GPU), cuda:N [cpu]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("DEVICES")
      ->group(group);
  command
      .add_option("--dtype", args.dtypes,
                  "Storage types of weights, a list: f32,f16,bf16,int8 (CPU) [cpu: f32; GPU: bf16]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("DTYPES")
      ->group(group);
  command
      .add_option("--threads", options.threads,
                  "Numbers of CPU threads, a list [as of a model: see vitrine doctor]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(in_range(1, 4096))
      ->type_name("LIST")
      ->group(group)
      ->only_with({{"--device", {"cpu"}}, {"--device", {}, true}});
  command.add_option("--seed", options.seed, "Seed of the random weights")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->not_with("--model");
}

void add_workload_options(Command& command, BenchOptions& options) {
  const auto group = "Measurements";
  const auto list = [&](const char* name, auto& to, const std::string& text) {
    return command.add_option(name, to, text)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->group(group);
  };
  list("--workload", options.workloads,
       fmt::format("Workloads, a list: {} [all]", fmt::join(bench::workload_names(), ",")))
      ->type_name("LIST");
  options.hooks = {"none", "residual", "maps"};
  list("--hooks", options.hooks,
       fmt::format("Sets of hooks in forward, prefill and decode, a list: {} [{}]",
                   fmt::join(bench::hook_set_names(), ","), fmt::join(options.hooks, ",")))
      ->type_name("LIST")
      ->only_with({{"--workload", {"forward", "prefill", "decode"}}, {"--workload", {}, true}});
  list("--batch", options.batches, "Sequences per forward pass, a list [cpu: 1; GPU: 1,8]")
      ->check(in_range(1, 65536))
      ->type_name("LIST")
      ->only_with({{"--workload", {"forward", "prefill", "attention", "saliency"}},
                   {"--workload", {}, true}});
  list("--decode-batch", options.decode_batches,
       "Sequences decoded together, a list [cpu: 1; GPU: 1,8,64]")
      ->check(in_range(1, 65536))
      ->type_name("LIST")
      ->only_with({{"--workload", {"decode", "generate", "attention"}}, {"--workload", {}, true}});
  const auto tokens = [&](const char* name, std::vector<int64_t>& to, const std::string& text) {
    return list(name, to, text)->check(in_range(int64_t{1}, int64_t{1} << 30))->type_name("LIST");
  };
  tokens("--prompt", options.prompts,
         "Tokens per sequence of a forward pass, a list [cpu: 128; GPU: 1024; at most the context]")
      ->only_with({{"--workload",
                    {"forward", "prefill", "attention", "saliency", "patching", "score", "lens",
                     "capture"}},
                   {"--workload", {}, true}});
  tokens("--decode-prompt", options.decode_prompts,
         "Tokens before the first decoded one, a list [16]")
      ->only_with({{"--workload", {"decode", "generate", "load"}}, {"--workload", {}, true}});
  tokens("--tokens", options.tokens, "Tokens decoded per measurement, a list [cpu: 16; GPU: 64]")
      ->only_with({{"--workload", {"decode", "generate"}}, {"--workload", {}, true}});
  command
      .add_option(
          "--text", options.text,
          "Text file for the tokenizer workload [a million bytes of words of its vocabulary]")
      ->type_name("FILE")
      ->group(group)
      ->only_with({{"--workload", {"tokenizer"}}, {"--workload", {}, true}});
  command
      .add_option("--scratch", options.scratch,
                  "Folder for temporary files of capture and load [the system's temporary folder]")
      ->type_name("FOLDER")
      ->group(group)
      ->only_with({{"--workload", {"capture", "load"}}, {"--workload", {}, true}});
  command
      .add_flag("--beside-load", options.beside_load,
                "Measure everything also beside busy processes, one on each CPU; checks run beside "
                "them")
      ->group(group);
  command
      .add_option("--repeat", options.repeat,
                  "Measurements of each row after one warm-up; the median is shown")
      ->check(in_range(1, 10000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
}

void add_result_options(Command& command, BenchOutput& output) {
  const auto group = "Output";
  command
      .add_option("--format", output.format,
                  "Output format: text, md (Markdown table), csv (one line per row, with the "
                  "machine), or json (as --json)")
      ->check(one_of({"text", "md", "csv", "json"}))
      ->capture_default_str()
      ->type_name("FORMAT")
      ->group(group)
      ->not_with("--json");
  command.add_option("-o,--out", output.out, "Write the JSON to FILE as well")
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--compare", output.compare,
                  "Mark changes beyond the noise since the run that wrote this JSON")
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--baseline", output.baseline,
                  "Show another program's times for comparison (docs/BENCHMARKS.md has the format)")
      ->type_name("FILE")
      ->group(group);
}

}  // namespace

Command add_bench_options(Command& app, Context& context, BenchArgs& args) {
  Command command = app.add_subcommand(
      "bench", "Measure speed relative to the machine's limits, and the cost of hooks");
  add_subject_options(command, args);
  add_workload_options(command, args.options);
  add_output_options(command, context);
  add_progress_option(command, context);
  add_result_options(command, args.output);
  command
      .add_flag("--profile", args.profile,
                "End with a table of what each operation took, checks and warm-up included")
      ->group("Output");
  set_examples(command,
               "  vitrine bench --workload decode --dtype f32,f16\n"
               "  vitrine bench --device cuda --size gpt2,gpt2-xl --out bench.json\n"
               "  vitrine bench --device cuda --size gpt2,gpt2-xl --compare bench.json");
  return command;
}

}  // namespace vitrine::cli
