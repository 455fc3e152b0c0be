// SPDX-License-Identifier: MIT
#include "bench/bench.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/check.h"
#include "base/mapped_file.h"
#include "bench/measure/memory_use.h"
#include "bench/measure/scratch.h"
#include "bench/workloads/workloads.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/model_path.h"
#include "engine/device_name.h"
#include "engine/model_state.h"

namespace vitrine::bench {
using namespace internal;
namespace {

struct Workload {
  const char* name;
  Cases (*cases)(const BenchOptions&);
  bool of_weights = true;  ///< false: the same for every dtype, device and number of threads, and
                           ///< measured once a model
};
constexpr Workload kWorkloads[] = {
    {"forward", forward_cases},   {"prefill", prefill_cases},
    {"decode", decode_cases},     {"generate", generate_cases},
    {"linear", linear_cases},     {"attention", attention_cases},
    {"saliency", saliency_cases}, {"patching", patching_cases},
    {"score", score_cases},       {"lens", lens_cases},
    {"capture", capture_cases},   {"tokenizer", tokenizer_cases, false},
    {"load", load_cases}};

bool wanted(const BenchOptions& options, const std::string& workload) {
  return std::find(options.workloads.begin(), options.workloads.end(), workload) !=
         options.workloads.end();
}

Config config_of(const Subject& subject) {
  return subject.config ? *subject.config : Checkpoint::open(resolve_model(subject.name)).config();
}

/// How often a workload calls Bench::step(), if everything fits.
uint64_t steps_in(const Workload& workload, const BenchOptions& options) {
  uint64_t steps = 0;
  for (const Case& each : workload.cases(options))
    steps += each.checks + each.turns * static_cast<size_t>(options.repeat);
  return steps;
}

int64_t largest(const std::vector<int64_t>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

/// The options of one device with nothing left open. Throws Error (user) for what does not fit the
/// model's context.
BenchOptions settled(BenchOptions options, const std::string& device, const Config& config,
                     const std::string& name) {
  const bool gpu = gpu_index(device).has_value();
  const int64_t context = config.context;
  options.devices = {device};
  if (gpu) options.threads = {0};
  if (options.dtypes.empty()) options.dtypes = {gpu ? DType::kBF16 : DType::kF32};
  if (options.batches.empty()) options.batches = gpu ? std::vector{1, 8} : std::vector{1};
  if (options.decode_batches.empty())
    options.decode_batches = gpu ? std::vector{1, 8, 64} : std::vector{1};
  if (options.rows.empty())
    options.rows =
        gpu ? std::vector<int64_t>{1, 8, 64, 1024, 8192} : std::vector<int64_t>{1, 8, 64, 256};
  if (options.prompts.empty()) options.prompts = {std::min<int64_t>(gpu ? 1024 : 128, context)};
  if (options.decode_prompts.empty()) {
    options.decode_prompts = {std::clamp<int64_t>(context - largest(options.tokens), 1,
                                                  std::min<int64_t>(16, (context + 1) / 2))};
  }
  if (options.tokens.empty())
    options.tokens = {
        std::clamp<int64_t>(context - largest(options.decode_prompts), 1, gpu ? 64 : 16)};
  if (const int64_t prompt = largest(options.prompts); prompt > context) {
    user_error("a prompt of {} tokens exceeds the context of {}, {} tokens: use a smaller --prompt",
               prompt, name, context);
  }
  if ((wanted(options, "decode") || wanted(options, "generate")) &&
      largest(options.decode_prompts) + largest(options.tokens) > context) {
    user_error(
        "{} tokens after a prompt of {} exceed the context of {}, {} tokens: use smaller --tokens "
        "or --decode-prompt",
        largest(options.tokens), largest(options.decode_prompts), name, context);
  }
  return options;
}

template <typename T>
void keep_first_of_equals(std::vector<T>& values) {
  std::vector<T> kept;
  for (const T& value : values) {
    if (std::find(kept.begin(), kept.end(), value) == kept.end()) kept.push_back(value);
  }
  values = std::move(kept);
}

/// Nothing is measured twice: rows of one run have different keys.
BenchOptions distinct(BenchOptions options) {
  for (std::string& device : options.devices) {
    if (const auto gpu = gpu_index(device)) device = fmt::format("cuda:{}", *gpu);
  }
  keep_first_of_equals(options.devices);
  keep_first_of_equals(options.dtypes);
  keep_first_of_equals(options.threads);
  keep_first_of_equals(options.workloads);
  keep_first_of_equals(options.hooks);
  keep_first_of_equals(options.batches);
  keep_first_of_equals(options.decode_batches);
  keep_first_of_equals(options.prompts);
  keep_first_of_equals(options.decode_prompts);
  keep_first_of_equals(options.tokens);
  keep_first_of_equals(options.rows);
  std::vector<Subject> subjects;
  for (const Subject& subject : options.subjects) {
    const auto same = [&](const Subject& other) { return other.name == subject.name; };
    if (std::none_of(subjects.begin(), subjects.end(), same)) subjects.push_back(subject);
  }
  options.subjects = std::move(subjects);
  return options;
}

/// A whole run: every device with every number of threads, and on each every model in every dtype.
class BenchRun {
 public:
  BenchRun(const BenchOptions& wanted_options, const BenchSink& sink)
      : options_(distinct(wanted_options)), sink_(sink) {
    for (const std::string& device :
         options_.devices) {  // whatever does not fit is refused before anything is measured
      for (const Subject& subject : options_.subjects)
        settled_[device].push_back(settled(options_, device, config_of(subject), subject.name));
    }
    if (writes()) total_ += static_cast<uint64_t>(options_.repeat);
    if (writes()) Scratch writable(options_.scratch);
    if (wanted(options_, "tokenizer") && !options_.text.empty()) MappedFile readable(options_.text);
    for (const std::string& device : options_.devices) total_ += steps_of(device);
    for (const BenchOptions& model : settled_.at(options_.devices.front())) {
      for (const Workload& workload : kWorkloads) {
        if (!workload.of_weights && wanted(model, workload.name))
          total_ += steps_in(workload, model);
      }
    }
  }

  void run() {
    measure_disk();
    for (const std::string& device : options_.devices) {
      for (const int threads : settled_.at(device).front().threads) run(device, threads);
    }
  }

 private:
  bool writes() const { return wanted(options_, "capture") || wanted(options_, "load"); }

  void measure_disk() {
    constexpr size_t kBytes = size_t{64} << 20;
    if (!writes()) return;
    const Scratch scratch(options_.scratch);
    Samples rate;
    for (int i = 0; i < options_.repeat; ++i) {
      step("the machine: disk");
      rate.add(disk_write_rate(scratch.path(),
                               options_.rate_sizes.disk > 0 ? options_.rate_sizes.disk : kBytes));
    }
    if (sink_.on_disk) sink_.on_disk(rate);
  }

  uint64_t steps_of(const std::string& device) const {
    const std::vector<BenchOptions>& models = settled_.at(device);
    const size_t variants = models.front().threads.size(), dtypes = models.front().dtypes.size();
    uint64_t steps = rate_steps(rate_options(device, 0));
    for (const BenchOptions& options : models) {
      uint64_t each = 1;  // the weights
      for (const Workload& workload : kWorkloads) {
        if (workload.of_weights && wanted(options, workload.name))
          each += steps_in(workload, options);
      }
      steps += dtypes * each;
    }
    return variants * steps;
  }

  RateOptions rate_options(const std::string& device, int threads) const {
    const std::vector<DType>& dtypes = settled_.at(device).front().dtypes;
    return {.device = device,
            .threads = threads,
            .dtypes = dtypes,
            .repeat = options_.repeat,
            .sizes = options_.rate_sizes};
  }

  void stop_if_told() const {
    if (sink_.keep_going && !sink_.keep_going()) throw Stopped{};
  }

  void step(const std::string& what) {
    stop_if_told();
    if (sink_.on_step) sink_.on_step(what, done_, total_);
    done_ = std::min(done_ + 1, total_);
  }

  void run(const std::string& device, int threads) {
    RateOptions how = rate_options(device, threads);
    how.on_step = [this](const std::string& what) { step(what); };
    const DeviceRates rates = measure_rates(how);
    if (sink_.on_rates) sink_.on_rates(rates);
    for (size_t i = 0; i < options_.subjects.size(); ++i) {
      const BenchOptions& options = settled_.at(device)[i];
      for (const DType dtype : options.dtypes)
        run(options, options_.subjects[i],
            {.device = device,
             .dtype = dtype,
             .threads = threads,
             .between_layers = [this] { stop_if_told(); }},
            rates);
    }
  }

  void run(const BenchOptions& options, const Subject& subject, const ModelOptions& how,
           const DeviceRates& rates) {
    step(subject.name + ": weights");
    std::optional<BusyLoad> load;
    if (options.beside_load) load.emplace();
    const std::optional<int> gpu = gpu_index(how.device);
    const size_t free = gpu ? make_cuda_backend({.device = *gpu})->available_bytes() : 0;
    const Model model = subject.config ? Model::random(*subject.config, options.seed, how)
                                       : Model::load(subject.name, how);
    if (const std::string& warning = model.load_report().warning;
        sink_.on_warning && !warning.empty())
      sink_.on_warning(warning);
    const auto take = [&](Row row) {
      row.peak_bytes = peak_memory();
      if (gpu) row.device_bytes = free - std::min(free, state_of(model).backend->available_bytes());
      if (sink_.on_row) sink_.on_row(row);
    };
    const Bench bench{options,
                      take,
                      rates,
                      model,
                      subject.name,
                      how.device,
                      subject.config.has_value(),
                      [this](const std::string& what) { step(what); },
                      load ? &*load : nullptr};
    for (const Workload& workload : kWorkloads) {
      if (!wanted(options, workload.name) ||
          !(workload.of_weights || met_.insert(subject.name + " " + workload.name).second))
        continue;
      forget_peak_memory();
      for (const Case& each : workload.cases(options)) {
        if (load) load->go_on();
        each.measure(bench);
      }
    }
  }

  BenchOptions options_;
  const BenchSink& sink_;
  std::map<std::string, std::vector<BenchOptions>>
      settled_;                ///< by device, in the order of the subjects
  std::set<std::string> met_;  ///< what is measured once a model and has been
  uint64_t done_ = 0, total_ = 0;
};

}  // namespace

void Bench::step(const std::string& what) const {
  on_step(fmt::format("{} {} {}", name, dtype_name(model.dtype()), what));
}

Row Bench::row(const std::string& workload, const std::string& shape) const {
  Row row;
  row.model = name;
  row.dtype = dtype_name(model.dtype());
  row.device = device;
  row.threads = rates.threads;
  row.workload = workload;
  row.shape = shape;
  return row;
}

void set_floor(Row& row, const Work& work, const Rates& rates, bool gpu) {
  row.floor = work.seconds(rates);
  if (work.bytes / rates.bytes > work.operations / rates.operations) {
    row.amount = work.bytes * 1e-9;
    row.unit = "GB/s";
  } else {
    row.amount = work.operations * (gpu ? 1e-12 : 1e-9);
    row.unit = gpu ? "TFLOP/s" : "GFLOP/s";
  }
}

bool run_bench(const BenchOptions& options, const BenchSink& sink) {
  try {
    BenchRun(options, sink).run();
    return true;
  } catch (const Stopped&) {
    return false;
  }
}

}  // namespace vitrine::bench
