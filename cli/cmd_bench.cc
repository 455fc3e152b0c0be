#include <algorithm>
#include <memory>
#include <optional>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/progress.h"
#include "base/quote.h"
#include "bench/bench.h"
#include "bench/hook_sets.h"
#include "bench/machine.h"
#include "bench/sizes.h"
#include "cli/context.h"
#include "cli/interrupt.h"

namespace vitrine::cli {
namespace {

using bench::BenchOptions;
using bench::DeviceRates;
using bench::Row;

struct BenchArgs {
  BenchOptions options;
  std::vector<std::string> sizes, dtypes;
  std::string model, out, format = "text";
};

/// Throws Error (user) for a word that is not among `known`.
void check_words(const char* option, const std::vector<std::string>& words, const std::vector<std::string>& known) {
  for (const std::string& word : words) {
    if (std::find(known.begin(), known.end(), word) == known.end()) {
      user_error("{}: {} is not known; give some of {}, separated by commas", option, quote(word), fmt::join(known, ","));
    }
  }
}

BenchOptions complete(const BenchArgs& args) {
  BenchOptions options = args.options;
  if (!args.model.empty() && !args.sizes.empty()) user_error("--size {} and --model {} exclude each other; give one of them", fmt::join(args.sizes, ","), quote(args.model));
  check_words("--size", args.sizes, bench::size_names());
  check_words("--dtype", args.dtypes, {"f32", "f16", "bf16"});
  check_words("--workload", options.workloads, bench::workload_names());
  check_words("--hooks", options.hooks, bench::hook_set_names());
  for (const std::string& size : args.sizes) options.subjects.push_back({size, bench::size_config(size)});
  if (!args.model.empty()) options.subjects.push_back({args.model});
  if (options.subjects.empty()) options.subjects.push_back({"gpt2", bench::size_config("gpt2")});
  options.dtypes.clear();
  for (const std::string& name : args.dtypes) options.dtypes.push_back(dtype_from_name(name));
  if (options.dtypes.empty()) options.dtypes = {options.device == "cpu" ? DType::kF32 : DType::kBF16};
  if (options.workloads.empty()) options.workloads = bench::workload_names();
  return options;
}

/// Rows as they come, in columns of a Markdown table.
class Table {
 public:
  Table(const Terminal& out, const BenchOptions& options) : out_(out) {
    size_t model = 5;
    for (const auto& subject : options.subjects) model = std::max(model, display_width(subject.name));
    columns_ = {{"model", model, false}, {"dtype", 5, false}, {"test", 30, false}, {"hooks", 10, false}, {"ms", 9, true},
                {"min .. max", 20, true}, {"rate", 15, true}, {"of floor", 8, true}, {"ratio", 15, false}};
    size_t total = 1;
    for (const Column& column : columns_) total += column.width + 3;
    if (out.width() > 0 && total > out.width()) columns_[5].width = 0;  // the least of what may be missed
  }

  void print_head() const {
    std::vector<std::string> names, lines;
    for (const Column& column : columns_) {
      names.emplace_back(column.name);
      lines.emplace_back(column.right ? std::string(column.width > 0 ? column.width - 1 : 0, '-') + ":" : std::string(column.width, '-'));
    }
    print("\n" + out_.paint(Style::kDim, line(names)) + "\n" + out_.paint(Style::kDim, line(lines)) + "\n");
  }

  void print_row(const Row& row) const {
    std::vector<std::string> cells = {row.model, row.dtype, row.workload + " " + row.shape, row.hooks};
    if (row.seconds.empty()) {
      cells.resize(columns_.size(), "-");
    } else {
      cells.push_back(milliseconds(row.seconds.median()));
      cells.push_back(milliseconds(row.seconds.min()) + " .. " + milliseconds(row.seconds.max()));
      cells.push_back(number(row.rate()) + " " + row.unit);
      cells.push_back(fmt::format("{:.1f} %", 100 * row.share()));
      cells.push_back(row.ratio.empty() ? "" : fmt::format("{:.3f}x {}", row.ratio.median(), row.against));
    }
    print(line(cells) + "\n");
    std::string note = row.note;
    if (!row.recorded.empty()) note += fmt::format("{}{} ms a step once it is recorded", note.empty() ? "" : "; ", milliseconds(row.recorded.median()));
    if (!note.empty()) print(out_.paint(Style::kDim, "  " + note) + "\n");
  }

 private:
  struct Column {
    const char* name;
    size_t width;  ///< 0: left out
    bool right;
  };

  /// Four digits that count.
  static std::string number(double value) { return value >= 1e4 ? thousands(static_cast<int64_t>(value)) : fmt::format("{:.4g}", value); }
  static std::string milliseconds(double seconds) {
    const double ms = 1e3 * seconds;
    return fmt::format("{:.{}f}", ms, ms >= 1000 ? 0 : ms >= 100 ? 1 : ms >= 10 ? 2 : ms >= 1 ? 3 : 4);
  }

  std::string line(const std::vector<std::string>& cells) const {
    std::string text = "|";
    for (size_t i = 0; i < columns_.size(); ++i) {
      const Column& column = columns_[i];
      if (column.width > 0) text += " " + (column.right ? right(cells[i], column.width) : left(cells[i], column.width)) + " |";
    }
    return text;
  }

  const Terminal& out_;
  std::vector<Column> columns_;
};

void print_machine(const Terminal& out, const Json& machine, const DeviceRates& rates, int repeat) {
  const auto row = [&](const char* name, const std::string& value) { print(out.paint(Style::kDim, left(name, 12)) + value + "\n"); };
  row("device", rates.device);
  for (const char* name : {"cpu", "compiler", "flags", "commit", "date"}) row(name, machine.at(name).get<std::string>());
  row("memory", human_bytes(rates.bandwidth.max()) + "/s at best");
  for (const auto& [dtype, found] : rates.arithmetic) {
    row("arithmetic", fmt::format("{:.4g} TFLOP/s at best, {} ({})", 1e-12 * found.operations.max(), dtype_name(dtype), found.by));
  }
  if (!rates.launch.empty()) row("launch", fmt::format("{:.2f} us for a small recorded operation", 1e6 * rates.launch.median()));
  print(out.paint(Style::kDim, fmt::format("median of {}; every timed result was checked; of floor: the least time that these rates allow, by the time taken", repeat)) +
        "\n");
}

/// Everything that was measured, as it comes.
class Report {
 public:
  Report(const Context& context, const BenchArgs& args, const BenchOptions& options)
      : context_(context), options_(options), text_(!context.json && args.format == "text"), table_(context.out, options) {
    if (!args.out.empty()) file_.emplace(args.out);  // what cannot be written is refused before the work
    json_ = {{"vitrine", VITRINE_VERSION}, {"command", "bench"}, {"machine", bench::machine_facts()}, {"rows", Json::array()}};
    json_["options"] = {{"device", options.device}, {"threads", options.threads}, {"seed", options.seed}, {"repeat", options.repeat},
                        {"workloads", options.workloads}, {"hooks", options.hooks}};
  }

  /// False if the user ended it.
  bool run(const InterruptGuard& guard) {
    ProgressBar progress({.unit = "measurements"});
    uint64_t steps = 0;
    const bool finished = bench::run_bench(options_, {.on_rates = [&](const DeviceRates& rates) { progress.erase(), take(rates); },
                                                      .on_row = [&](const Row& row) { progress.erase(), take(row); },
                                                      .on_step = [&](const std::string& what) { progress.update(steps++, 0, what); },
                                                      .keep_going = [&] { return !guard.interrupted(); }});
    json_["complete"] = finished;
    return finished;
  }

  void finish() {
    if (file_) {
      file_->append(json_.dump(1) + "\n");
      file_->commit();
    }
    if (!text_) print_json(json_);
  }

 private:
  void take(const DeviceRates& rates) {
    json_["machine"]["rates"] = rates.json();
    if (!text_) return;
    print_machine(context_.out, json_["machine"], rates, options_.repeat);
    table_.print_head();
    std::fflush(stdout);
  }
  void take(const Row& row) {
    json_["rows"].push_back(row.json());
    if (!text_) return;
    table_.print_row(row);
    std::fflush(stdout);  // a long run is watched, or cut off
  }

  const Context& context_;
  const BenchOptions& options_;
  bool text_;
  Table table_;
  Json json_;
  std::optional<AtomicFile> file_;
};

void run(const Context& context, const BenchArgs& args) {
  const BenchOptions options = complete(args);
  const InterruptGuard guard;
  bool finished = false;
  {
    Report report(context, args, options);
    finished = report.run(guard);
    report.finish();
  }
  if (!finished) guard.obey();
}

void add_subject_options(CLI::App& command, BenchArgs& args) {
  const auto group = "Model";
  BenchOptions& options = args.options;
  command.add_option("--size", args.sizes, fmt::format("Shapes with random weights, a list: {} [gpt2]", fmt::join(bench::size_names(), ",")))
      ->delimiter(',')->allow_extra_args(false)->type_name("SIZES")->group(group);
  command.add_option("-m,--model", args.model, "A checkpoint instead: its directory or file, demo, or a name in the Hugging Face cache")->type_name("MODEL")->group(group);
  command.add_option("--device", options.device, "Where to run: cpu, cuda (the first GPU), cuda:N")->capture_default_str()->type_name("DEVICE")->group(group);
  command.add_option("--dtype", args.dtypes, "How weights are stored, a list: f32,f16,bf16 [cpu: f32; GPU: bf16]")
      ->delimiter(',')->allow_extra_args(false)->type_name("DTYPES")->group(group);
  command.add_option("--threads", options.threads, "CPU threads [all]")->check(CLI::Range(1, 4096))->type_name("N")->group(group);
  command.add_option("--seed", options.seed, "Of the random weights")->capture_default_str()->type_name("N")->group(group);
}

void add_workload_options(CLI::App& command, BenchOptions& options) {
  const auto group = "Measurements";
  const auto list = [&](const char* name, auto& to, const std::string& text) {
    return command.add_option(name, to, text)->delimiter(',')->allow_extra_args(false)->group(group);
  };
  list("--workload", options.workloads, fmt::format("What to measure, a list: {} [all]", fmt::join(bench::workload_names(), ",")))->type_name("LIST");
  options.hooks = {"none", "residual", "maps"};
  list("--hooks", options.hooks, fmt::format("What forward and decode capture, a list: {} [{}]", fmt::join(bench::hook_set_names(), ","), fmt::join(options.hooks, ",")))
      ->type_name("LIST");
  list("--batch", options.batches, "Sequences of a forward pass, a list [cpu: 1; GPU: 1,8]")->check(CLI::Range(1, 65536))->type_name("LIST");
  list("--decode-batch", options.decode_batches, "Sequences that grow together, a list [cpu: 1; GPU: 1,8,64]")->check(CLI::Range(1, 65536))->type_name("LIST");
  const auto count = [&](const char* name, int64_t& to, const std::string& text) {
    command.add_option(name, to, text)->check(CLI::Range(int64_t{1}, int64_t{1} << 30))->type_name("TOKENS")->group(group);
  };
  count("--prompt", options.prompt, "Tokens of a forward pass [cpu: 128; GPU: 1024; at most the context]");
  count("--decode-prompt", options.decode_prompt, "Tokens before the first decoded one [16]");
  count("--tokens", options.tokens, "Tokens decoded in one measurement [cpu: 16; GPU: 64]");
  command.add_option("--repeat", options.repeat, "Measurements of each kind, after one to warm up; their median is shown")
      ->check(CLI::Range(1, 10000))->capture_default_str()->type_name("N")->group(group);
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand("bench", "Measure speed next to what the machine allows, and what hooks cost");
  const auto args = std::make_shared<BenchArgs>();
  add_subject_options(command, *args);
  add_workload_options(command, args->options);
  add_output_options(command, context);
  command.add_option("--format", args->format, "text, or json (the same as --json)")->check(CLI::IsMember({"text", "json"}))->capture_default_str()->type_name("FORMAT")->group("Output");
  command.add_option("-o,--out", args->out, "Write the JSON to this file as well")->type_name("FILE")->group("Output");
  set_examples(command,
               "  vitrine bench --workload decode --dtype f32,f16\n"
               "  vitrine bench --device cuda --size gpt2,gpt2-xl --out bench.json");
  command.callback([&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
