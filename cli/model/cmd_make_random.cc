// SPDX-License-Identifier: MIT
#include <memory>
#include <optional>

#include "base/check.h"
#include "base/quote.h"
#include "bench/measure/floors.h"
#include "bench/measure/sizes.h"
#include "cli/core/context.h"
#include "cli/core/progress_bar.h"
#include "cli/model/config_json.h"
#include "vitrine/checkpoint/random_checkpoint.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct MakeRandomCommandArgs {
  std::string folder, size = "gpt2", dtype = "f32", init = "gpt2", tokenizer;
  std::optional<int> layers, heads;
  std::optional<int64_t> width, context, vocab;
  uint64_t seed = 1;
};

Config config_of(const MakeRandomCommandArgs& args) {
  Config config = bench::size_config(args.size);
  config.layers = args.layers.value_or(config.layers);
  config.heads = args.heads.value_or(config.heads);
  config.width = args.width.value_or(config.width);
  config.inner = 4 * config.width;
  config.context = args.context.value_or(config.context);
  config.vocab = args.vocab.value_or(config.vocab);
  if (config.heads > 0 && config.width % config.heads != 0) {
    user_error("invalid --width {}: expected a multiple of --heads {}", config.width, config.heads);
  }
  return config;
}

JsonValue made_json(const MakeRandomCommandArgs& args, const RandomCheckpoint& what,
                    uint64_t bytes) {
  return {{"vitrine", VITRINE_VERSION},
          {"command", "make-random"},
          {"path", args.folder},
          {"config", config_json(what.config)},
          {"parameters", what.config.parameters()},
          {"bytes", bytes},
          {"dtype", dtype_name(what.dtype)},
          {"seed", what.seed},
          {"init", args.init},
          {"tokenizer",
           what.tokenizer.empty() ? JsonValue(nullptr) : JsonValue(what.tokenizer.string())}};
}

void print_made(const Context& context, const MakeRandomCommandArgs& args,
                const RandomCheckpoint& what, uint64_t bytes) {
  const Config& c = what.config;
  const auto line = [&](const char* name, const std::string& value) {
    print(context.out.paint(Style::kDim, left(name, 12)) + value + "\n");
  };
  print(context.out.paint(Style::kTitle, args.folder) + "\n");
  line("shape",
       fmt::format("{} layers (L), width {} (D), {} heads (H) of {} (K), inner width {} (M)",
                   c.layers, c.width, c.heads, c.head_width(), c.inner));
  line("vocabulary",
       fmt::format("{} tokens (V); context {} tokens", thousands(c.vocab), thousands(c.context)));
  line("weights", fmt::format("{} parameters, {} as {}; seed {}, drawn as {}",
                              thousands(c.parameters()), human_bytes(static_cast<double>(bytes)),
                              dtype_name(what.dtype), what.seed, args.init));
  line("tokenizer",
       what.tokenizer.empty() ? "none (use token ids)" : "of " + what.tokenizer.string());
}

void run(const Context& context, const MakeRandomCommandArgs& args) {
  RandomCheckpoint what{.config = config_of(args),
                        .seed = args.seed,
                        .init = random_init_from_name(args.init),
                        .dtype = dtype_from_name(args.dtype)};
  if (!args.tokenizer.empty()) what.tokenizer = Model::locate(args.tokenizer);
  warn_of_thread_variables();
  uint64_t bytes = 0;
  {
    ProgressBar progress;
    bytes = write_random_checkpoint(args.folder, what, {.progress = &progress});
  }
  if (context.json)
    print_json(made_json(args, what, bytes));
  else
    print_made(context, args, what, bytes);
}

}  // namespace

void add_make_random(Command& app, Context& context) {
  Command command = app.add_subcommand("make-random",
                                       "Write a checkpoint of random weights in the format of "
                                       "transformers, for benchmarks and tests");
  const auto args = std::make_shared<MakeRandomCommandArgs>();
  command
      .add_option(
          "DIR", args->folder,
          "Folder to create, with config.json and model.safetensors as save_pretrained writes them")
      ->required();
  add_output_options(command, context);
  // What is printed here needs none, and the word is the model's.
  command.remove_option("--width");
  add_progress_option(command, context);
  const auto shape = "Shape";
  command.add_option("--size", args->size, "Published size, changed by the options below")
      ->check(one_of(bench::size_names()))
      ->capture_default_str()
      ->type_name("SIZE")
      ->group(shape);
  const auto count = [&](const char* name, auto& to, const std::string& text, int64_t most) {
    command.add_option(name, to, text)
        ->check(in_range(int64_t{1}, most))
        ->type_name("N")
        ->group(shape);
  };
  count("--layers", args->layers, "Blocks (L)", 1000);
  count("--heads", args->heads, "Heads per layer (H)", 1000);
  count(
      "--width", args->width,
      "Width of the residual stream (D), a multiple of the heads; the MLPs are four times as wide",
      int64_t{1} << 17);
  count("--context", args->context, "Positions", int64_t{1} << 20);
  count("--vocab", args->vocab, "Tokens of the vocabulary (V)", int64_t{1} << 30);
  const auto group = "Weights";
  command.add_option("--seed", args->seed, "Seed of the weights")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command
      .add_option("--init", args->init,
                  "Distribution: gpt2 (initialisation of GPT-2's training) or wide (as `vitrine "
                  "bench --seed`, with attention far from uniform)")
      ->check(one_of({"gpt2", "wide"}))
      ->capture_default_str()
      ->type_name("WAY")
      ->group(group);
  command.add_option("--dtype", args->dtype, "Storage type of weights: f32, f16, bf16")
      ->capture_default_str()
      ->type_name("DTYPE")
      ->group(group);
  command
      .add_option(
          "--tokenizer", args->tokenizer,
          "Model whose tokenizer files are copied: a path, demo, or a name as in the cache [none]")
      ->type_name("MODEL")
      ->group(group);
  set_examples(command,
               "  vitrine make-random /tmp/random-gpt2 --size gpt2 --dtype bf16\n"
               "  vitrine make-random /tmp/tiny --layers 2 --heads 4 --width 64 --context 128 "
               "--vocab 4096 --tokenizer demo");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
