// SPDX-License-Identifier: MIT
#include "cli/core/context.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/default_threads.h"
#include "cli/core/interrupt.h"
#include "cli/core/progress_bar.h"
#include "cli/core/ranks.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr const char* kModelGroup = "Model";

size_t line_width = std::numeric_limits<size_t>::max();  ///< of stdout

void say(const char* what, const std::string& line) {
  std::string one = line;
  std::replace_if(
      one.begin(), one.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  std::fflush(stdout);  // what was printed before comes before
  std::fprintf(stderr, "vitrine: %s: %s\n", what, one.c_str());
}

}  // namespace

void add_output_options(Command& command, Context& context) {
  const auto group = "Output";
  command
      .add_flag("--json", context.json, "Print JSON instead of text (docs/CLI.md lists the fields)")
      ->group(group);
  command
      .add_option("--color", context.color,
                  "Colours: auto (on a terminal unless NO_COLOR is set), always, never")
      ->check(one_of({"auto", "always", "never"}))
      ->capture_default_str()
      ->type_name("WHEN")
      ->group(group)
      ->not_with("--json");
  command
      .add_option("--width", context.width,
                  "Maximum width of a line in columns; 0: unlimited [the terminal's width; piped: "
                  "120 for pictures, and lines stay whole]")
      ->check(in_range(0, 100000))
      ->type_name("N")
      ->group(group)
      ->not_with("--json");
}

void add_progress_option(Command& command, Context& context) {
  command
      .add_option("--progress", context.progress,
                  "Progress on stderr: auto (a bar on a terminal, else plain), plain (a line with "
                  "the time each minute and for each finished shard), none")
      ->check(one_of({"auto", "plain", "none"}))
      ->capture_default_str()
      ->type_name("WAY")
      ->group("Output");
}

void add_model_option(Command& command, Context& context) {
  command
      .add_option("-m,--model", context.model,
                  "Model: directory or file of a checkpoint, demo, or a name in the Hugging Face "
                  "cache (gpt2)")
      ->capture_default_str()
      ->type_name("MODEL")
      ->group(kModelGroup);
}

void add_tokenizer_options(Command& command, Context& context) {
  command
      .add_option("--bos", context.bos,
                  "Tokens around each text: auto (those that the tokenizer's files name, as "
                  "transformers does), none, or the id of one token before it")
      ->capture_default_str()
      ->type_name("WAY")
      ->group(kModelGroup);
  command
      .add_option("--tokenizer", context.tokenizer,
                  "Tokenizer: a file or directory [the model's own]")
      ->type_name("PATH")
      ->group(kModelGroup);
}

void add_model_options(Command& command, Context& context) {
  const auto group = kModelGroup;
  add_model_option(command, context);
  add_tokenizer_options(command, context);
  command
      .add_option(
          "--adapter", context.adapter,
          "LoRA adapter of the model, merged into its weights: folder of PEFT, or a name in "
          "the Hugging Face cache")
      ->type_name("DIR")
      ->group(group);
  command
      .add_option("--device", context.device,
                  "Device: cpu, cuda:N, cuda (the GPU of the local rank under torchrun, "
                  "mpirun or srun, else the first)")
      ->capture_default_str()
      ->type_name("DEVICE")
      ->group(group);
  command
      .add_option(
          "--gemm", context.gemm,
          "Matrix products on a GPU: exact (the same bits alone and in any batch) or cublas "
          "(different rounding)")
      ->check(one_of({"exact", "cublas"}))
      ->capture_default_str()
      ->type_name("WAY")
      ->group(group)
      ->only_with("--device", {"cuda*"});
  command
      .add_option("--arithmetic", context.arithmetic,
                  "Products on a CPU: exact (float32 activations) or bf16 (activations between "
                  "operations rounded to bfloat16, as on a GPU with 16-bit weights; with --dtype "
                  "bf16 or int8)")
      ->check(one_of({"exact", "bf16"}))
      ->capture_default_str()
      ->type_name("WAY")
      ->group(group)
      ->not_with("--device", {"cuda*"});
  command
      .add_option("--dtype", context.dtype,
                  "Storage type of weights: f32, f16, bf16, int8 (CPU only; one scale per output) "
                  "[as in the checkpoint]; accumulation is always float32")
      ->type_name("DTYPE")
      ->group(group);
  command
      .add_option("--threads", context.threads,
                  "Number of CPU threads; results do not depend on it [the least of: CPUs that the "
                  "process may run on, the control group's quota, OMP_NUM_THREADS, "
                  "SLURM_CPUS_PER_TASK]")
      ->check(in_range(1, 4096))
      ->type_name("N")
      ->group(group)
      ->not_with("--device", {"cuda*"});
  add_progress_option(command, context);
}

std::vector<std::string> with_model_options(std::vector<std::string> names) {
  names.insert(names.end(),
               {"--model", "--tokenizer", "--bos", "--adapter", "--device", "--gemm",
                "--arithmetic", "--dtype", "--threads", "--edit", "--hooks", "--save-hooks"});
  return names;
}

Model load_model(const Context& context) {
  ModelOptions options;
  options.device = device_of_rank(context.device);
  options.gemm = context.gemm;
  options.arithmetic = context.arithmetic;
  options.threads = context.threads;
  options.tokenizer = context.tokenizer;
  options.bos = context.bos;
  if (context.threads == 0) warn_of_thread_variables();
  options.adapter = context.adapter;
  if (!context.dtype.empty()) options.dtype = dtype_from_name(context.dtype);
  ProgressBar bar;
  options.progress = &bar;
  options.between_layers = stop_if_interrupted;
  Model model = Model::load(context.model, options);
  bar.erase();
  if (const LoadReport& report = model.load_report(); !report.warning.empty()) warn(report.warning);
  return model;
}

void set_examples(Command& command, const std::string& examples) {
  command.footer("Examples:\n" + examples);
}

JsonValue json_head(const std::string& command, const Model& model) {
  JsonValue head = {{"vitrine", VITRINE_VERSION},
                    {"command", command},
                    {"model",
                     {{"name", model.name()},
                      {"device", model.device_description()},
                      {"dtype", dtype_name(model.dtype())}}}};
  const std::vector<std::string> kernels = model.kernel_choices();
  if (!kernels.empty()) head["model"]["kernels"] = kernels;
  return head;
}

void set_line_width(size_t columns) { line_width = columns; }

void print(const std::string& text) { print_as_is(fit_lines(text, line_width)); }

void print_as_is(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
    internal_error("cannot write to standard output: {}", std::strerror(errno));
}

void warn(const std::string& line) { say("warning", line); }
void note(const std::string& line) { say("note", line); }

void warn_of_thread_variables() {
  for (const DefaultThreads::Invalid& invalid : default_threads().invalid)
    warn(invalid.message + "; it counts as not set");
}

void print_json(const JsonValue& json) { print_as_is(json.dump(1) + "\n"); }

}  // namespace vitrine::cli
