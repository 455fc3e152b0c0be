#include "bench/bench.h"

#include <algorithm>

#include "base/check.h"
#include "bench/workloads.h"
#include "engine/checkpoint.h"
#include "engine/device_name.h"
#include "engine/model_path.h"

namespace vitrine::bench {
namespace {

struct Workload {
  const char* name;
  void (*run)(const Bench&);
};
constexpr Workload kWorkloads[] = {{"forward", bench_forward}, {"decode", bench_decode}, {"linear", bench_linear},
                                    {"attention", bench_attention}, {"saliency", bench_saliency}, {"patching", bench_patching}};

bool wanted(const BenchOptions& options, const std::string& workload) {
  return std::find(options.workloads.begin(), options.workloads.end(), workload) != options.workloads.end();
}

Model make_model(const BenchOptions& options, const Subject& subject, DType dtype) {
  const ModelOptions how{.device = options.device, .dtype = dtype, .threads = options.threads};
  return subject.config ? Model::random(*subject.config, options.seed, how) : Model::load(subject.name, how);
}

Config config_of(const Subject& subject) { return subject.config ? *subject.config : Checkpoint::open(resolve_model(subject.name)).config(); }

/// The options with nothing left open. Throws Error (user) for what does not fit the model's context.
BenchOptions settled(BenchOptions options, const Config& config, const std::string& name) {
  const bool gpu = gpu_index(options.device).has_value();
  const int64_t context = config.context;
  if (options.batches.empty()) options.batches = gpu ? std::vector{1, 8} : std::vector{1};
  if (options.decode_batches.empty()) options.decode_batches = gpu ? std::vector{1, 8, 64} : std::vector{1};
  if (options.rows.empty()) options.rows = gpu ? std::vector<int64_t>{1, 8, 64, 1024, 8192} : std::vector<int64_t>{1, 8, 64, 256};
  if (options.prompt == 0) options.prompt = std::min<int64_t>(gpu ? 1024 : 128, context);
  if (options.decode_prompt == 0) options.decode_prompt = std::clamp<int64_t>(context - options.tokens, 1, std::min<int64_t>(16, (context + 1) / 2));
  if (options.tokens == 0) options.tokens = std::clamp<int64_t>(context - options.decode_prompt, 1, gpu ? 64 : 16);
  if (options.prompt > context) {
    user_error("a prompt of {} tokens does not fit the context of {}, {} tokens; give a smaller --prompt", options.prompt, name, context);
  }
  if (wanted(options, "decode") && options.decode_prompt + options.tokens > context) {
    user_error("{} tokens behind a prompt of {} do not fit the context of {}, {} tokens; give smaller --tokens or --decode-prompt", options.tokens,
               options.decode_prompt, name, context);
  }
  return options;
}

DeviceRates rates_of(const BenchOptions& options, const BenchSink& sink, const std::function<void(const std::string&)>& on_step) {
  DeviceRates rates = measure_rates({.device = options.device,
                                     .threads = options.threads,
                                     .dtypes = options.dtypes,
                                     .repeat = options.repeat,
                                     .sizes = options.rate_sizes,
                                     .on_step = on_step});
  if (sink.on_rates) sink.on_rates(rates);
  return rates;
}

void step_or_stop(const BenchSink& sink, const std::string& what) {
  if (sink.keep_going && !sink.keep_going()) throw Stopped{};
  if (sink.on_step) sink.on_step(what);
}

void run_all(const BenchOptions& options, const BenchSink& sink) {
  std::vector<BenchOptions> settled_options;  // whatever does not fit is refused before anything is measured
  for (const Subject& subject : options.subjects) settled_options.push_back(settled(options, config_of(subject), subject.name));
  const DeviceRates rates = rates_of(options, sink, [&](const std::string& what) { step_or_stop(sink, what); });
  for (size_t i = 0; i < options.subjects.size(); ++i) {
    const Subject& subject = options.subjects[i];
    for (const DType dtype : options.dtypes) {
      step_or_stop(sink, subject.name + ": weights");
      const Model model = make_model(options, subject, dtype);
      const Bench bench{settled_options[i], sink, rates, model, subject.name};
      for (const Workload& workload : kWorkloads) {
        if (wanted(options, workload.name)) workload.run(bench);
      }
    }
  }
}

}  // namespace

const std::vector<std::string>& workload_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Workload& workload : kWorkloads) list.emplace_back(workload.name);
    return list;
  }();
  return names;
}

void Bench::step(const std::string& what) const { step_or_stop(sink, fmt::format("{} {} {}", name, dtype_name(model.dtype()), what)); }

Row Bench::row(const std::string& workload, const std::string& shape) const {
  Row row;
  row.model = name;
  row.dtype = dtype_name(model.dtype());
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

Json Row::json() const {
  Json json = {{"model", model}, {"dtype", dtype}, {"workload", workload}, {"shape", shape}};
  json["hooks"] = hooks.empty() ? Json(nullptr) : Json(hooks);
  json["seconds"] = samples_json(seconds);
  json["recorded_seconds"] = samples_json(recorded);
  json["rate"] = seconds.empty() ? Json(nullptr) : Json(rate());
  json["unit"] = unit;
  json["floor_seconds"] = floor;
  json["share_of_floor"] = seconds.empty() ? Json(nullptr) : Json(share());
  json["ratio"] = samples_json(ratio);
  json["against"] = against.empty() ? Json(nullptr) : Json(against);
  json["captured_bytes"] = captured;
  json["note"] = note;
  return json;
}

bool run_bench(const BenchOptions& options, const BenchSink& sink) {
  try {
    run_all(options, sink);
    return true;
  } catch (const Stopped&) {
    return false;
  }
}

}  // namespace vitrine::bench
