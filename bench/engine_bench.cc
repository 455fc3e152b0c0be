// SPDX-License-Identifier: MIT
// How fast the engine is, next to what the machine can do at best. See docs/BENCHMARKS.md.

#include "bench/engine_bench.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/measure/machine.h"
#include "bench/measure/sizes.h"
#include "bench/open_blas.h"
#include "vitrine/error.h"

namespace vitrine::bench {
using namespace internal;
namespace {

Json machine() {
  Json json = machine_facts();
  json["openblas"] = OpenBlas().description();
  return json;
}

nlohmann::ordered_json to_json(const Samples& samples) {
  if (samples.empty()) return nullptr;
  return {{"median", samples.median()},
          {"min", samples.min()},
          {"max", samples.max()},
          {"count", samples.values.size()}};
}

nlohmann::ordered_json to_json(const EngineBenchResult& r) {
  nlohmann::ordered_json json;
  json["size"] = r.options.size;
  json["dtype"] = dtype_name(r.options.dtype);
  json["threads"] = r.options.threads;
  json["device"] = r.device;
  json["weight_bytes"] = r.weight_bytes;
  json["ceilings"] = {{"read_gb_s", to_json(r.read)},
                      {"write_gb_s", to_json(r.write)},
                      {"fma_gflop_s", to_json(r.fma)},
                      {"openblas_gflop_s", to_json(r.sgemm)}};
  json["decode"] = {{"past", r.options.past},
                    {"seconds_a_token", to_json(r.decode)},
                    {"bytes_a_token", r.decode_bytes},
                    {"share_of_read", to_json(r.decode_of_read)},
                    {"residual_captured_ratio", to_json(r.decode_residual)},
                    {"all_captured_ratio", to_json(r.decode_all)}};
  json["prefill"] = {{"tokens", r.options.prompt},
                     {"seconds", to_json(r.prefill)},
                     {"operations", r.prefill_operations},
                     {"share_of_fma", to_json(r.prefill_of_fma)},
                     {"share_of_openblas", to_json(r.prefill_of_sgemm)},
                     {"residual_captured_ratio", to_json(r.prefill_residual)},
                     {"seconds_all_logits", to_json(r.prefill_logits)},
                     {"all_captured_ratio", to_json(r.prefill_all)},
                     {"all_captured_bytes", r.all_bytes}};
  return json;
}

// "23.1 (22.0 .. 25.3)"
std::string spread(const Samples& s, double factor, int digits) {
  if (s.empty()) return "-";
  return fmt::format("{:.{}f} ({:.{}f} .. {:.{}f})", s.median() * factor, digits, s.min() * factor,
                     digits, s.max() * factor, digits);
}

void row(const std::string& what, const std::string& measured, const std::string& rate,
         const std::string& goal = "") {
  fmt::print("  {:<32}{:<34}{:<28}{}\n", what, measured, rate, goal);
}

std::string at_least(double value, double goal) {
  return fmt::format("goal >= {:.0f} %: {}", goal * 100, value >= goal ? "met" : "not met");
}
std::string at_most(double value, double goal) {
  return fmt::format("goal <= {:.2f}: {}", goal, value <= goal ? "met" : "not met");
}

void print(const EngineBenchResult& r) {
  const auto tokens = static_cast<double>(r.options.prompt);
  fmt::print("\n{}, {} weights ({:.0f} MB), {}\n", r.options.size, dtype_name(r.options.dtype),
             r.weight_bytes * 1e-6, r.device);
  row("ceilings: read, GB/s", spread(r.read, 1, 1), "");
  row("          write, GB/s", spread(r.write, 1, 1), "");
  row("          FMA, GFLOP/s", spread(r.fma, 1, 0), "");
  row("          OpenBLAS, GFLOP/s", spread(r.sgemm, 1, 0), "");
  row(fmt::format("decode at {}, ms a token", r.options.past), spread(r.decode, 1e3, 2),
      fmt::format("{:.1f} tok/s, {:.1f} GB/s", 1 / r.decode.median(),
                  r.decode_bytes / r.decode.median() * 1e-9));
  row("  % of read", spread(r.decode_of_read, 100, 0),
      fmt::format("{:.0f} MB a token", r.decode_bytes * 1e-6),
      at_least(r.decode_of_read.median(), 0.7));
  row("  residual stream captured, x", spread(r.decode_residual, 1, 3), "",
      at_most(r.decode_residual.median(), 1.03));
  row("  every site captured, x", spread(r.decode_all, 1, 3), "");
  row(fmt::format("prefill of {}, ms", r.options.prompt), spread(r.prefill, 1e3, 0),
      fmt::format("{:.0f} tok/s, {:.0f} GFLOP/s", tokens / r.prefill.median(),
                  r.prefill_operations / r.prefill.median() * 1e-9));
  row("  % of FMA", spread(r.prefill_of_fma, 100, 0), "");
  row("  % of OpenBLAS", spread(r.prefill_of_sgemm, 100, 0), "",
      r.prefill_of_sgemm.empty() ? "" : at_least(r.prefill_of_sgemm.median(), 0.6));
  row("  residual stream captured, x", spread(r.prefill_residual, 1, 3), "",
      at_most(r.prefill_residual.median(), 1.03));
  row("  with logits of all tokens, ms", spread(r.prefill_logits, 1e3, 0),
      fmt::format("{:.0f} tok/s", tokens / r.prefill_logits.median()));
  row("    every site captured, x", spread(r.prefill_all, 1, 3),
      fmt::format("{:.0f} MB captured", r.all_bytes * 1e-6));
}

int run(int argc, char** argv) {
  CLI::App app(
      "Speed of the engine with random weights, next to the machine's ceilings measured in the "
      "same run");
  EngineBenchOptions options;
  std::vector<std::string> dtypes = {"f32", "f16"};
  std::vector<int> threads = {1, 2};
  std::string json_path;
  app.add_option("--size", options.size, fmt::format("{}", fmt::join(size_names(), ", ")));
  app.add_option("--dtype", dtypes, "how weights are stored, a list: f32,f16,bf16,int8")
      ->delimiter(',');
  app.add_option("--threads", threads, "a list: 1,2")->delimiter(',')->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds, "repetitions of everything")
      ->check(CLI::Range(1, 1000));
  app.add_option("--prompt", options.prompt, "tokens of the prefill")->check(CLI::Range(1, 1024));
  app.add_option("--past", options.past, "tokens before the first decoded one")
      ->check(CLI::Range(1, 900));
  app.add_option("--steps", options.steps, "decoded tokens a round")->check(CLI::Range(1, 100));
  app.add_option("--json", json_path,
                 "writes the results there as well; - for standard output alone");
  CLI11_PARSE(app, argc, argv);
  options.config = size_config(options.size);

  nlohmann::ordered_json json = {{"machine", machine()},
                                 {"results", nlohmann::ordered_json::array()}};
  const bool table = json_path != "-";
  if (table) {
    for (const auto& [key, value] : json["machine"].items())
      fmt::print("{:<12}{}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
    fmt::print("median (min .. max); every result was checked in the same run\n");
  }
  for (const std::string& dtype : dtypes) {
    options.dtype = dtype_from_name(dtype);
    for (const int count : threads) {
      options.threads = count;
      const EngineBenchResult result = run_engine_bench(options);
      json["results"].push_back(to_json(result));
      if (table) print(result);
      std::fflush(stdout);
    }
  }
  if (json_path == "-") fmt::print("{}\n", json.dump(2));
  if (table && !json_path.empty()) std::ofstream(json_path) << json.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace vitrine::bench

int main(int argc, char** argv) {
  try {
    return vitrine::bench::run(argc, argv);
  } catch (const vitrine::Error& error) {
    std::fprintf(stderr, "engine_bench: %s\n", error.what());
    return error.kind() == vitrine::Error::Kind::kUser ? 2 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "engine_bench: %s\n", error.what());
    return 1;
  }
}
