// SPDX-License-Identifier: MIT
#include "cli/bench/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/quote.h"
#include "bench/measure/machine.h"
#include "vitrine/version.h"

namespace vitrine::cli {
using namespace internal;

using bench::BenchOptions;
using bench::Comparison;
using bench::DeviceRates;
using bench::Row;

namespace {

std::optional<Comparison> comparison_with(const std::string& file) {
  if (file.empty()) return std::nullopt;
  return Comparison(bench::read_records(file));
}

Json names_of(const std::vector<DType>& dtypes) {
  Json names = Json::array();
  for (const DType dtype : dtypes) names.push_back(dtype_name(dtype));
  return names;
}

Json options_json(const BenchOptions& options) {
  return {{"devices", options.devices},     {"dtypes", names_of(options.dtypes)},
          {"threads", options.threads},     {"seed", options.seed},
          {"repeat", options.repeat},       {"beside_load", options.beside_load},
          {"workloads", options.workloads}, {"hooks", options.hooks},
          {"batches", options.batches},     {"decode_batches", options.decode_batches},
          {"prompts", options.prompts},     {"decode_prompts", options.decode_prompts},
          {"tokens", options.tokens}};
}

}  // namespace

BenchReport::BenchReport(const Context& context, const BenchOutput& output,
                         const BenchOptions& options)
    : context_(context),
      options_(options),
      format_(context.json ? "json" : output.format),
      before_(comparison_with(output.compare)),
      peer_(comparison_with(output.baseline)),
      json_({{"vitrine", VITRINE_VERSION},
             {"command", "bench"},
             {"machine", bench::machine_facts()},
             {"options", options_json(options)},
             {"rows", Json::array()}}),
      table_(make_table()) {
  if (!output.out.empty())
    file_.emplace(output.out);  // what cannot be written is refused before the work
}

BenchTable BenchReport::make_table() const {
  const bool csv = format_ == "csv";
  BenchColumnsWanted wanted{.device = csv || options_.devices.size() > 1,
                            .threads = csv || options_.threads.size() > 1,
                            .loaded = csv || options_.beside_load,
                            .before = before_.has_value(),
                            .peer = peer_.has_value()};
  for (const bench::Subject& subject : options_.subjects)
    wanted.model_width = std::max(wanted.model_width, display_width(subject.name));
  const BenchFormat format = csv               ? BenchFormat::kCsv
                             : format_ == "md" ? BenchFormat::kMarkdown
                                               : BenchFormat::kText;
  return BenchTable(context_.out, format, wanted, json_.at("machine"));
}

void BenchReport::say(const std::string& name, const std::string& value) const {
  if (format_ == "text") print(context_.out.paint(Style::kDim, left(name, 12)) + value + "\n");
  if (format_ == "md") print_as_is(fmt::format("- {}: {}\n", name, value));
}

void BenchReport::print_machine() const {
  const Json& machine = json_.at("machine");
  for (const char* name : {"cpu", "compiler", "flags", "commit", "date"})
    say(name, machine.at(name).get<std::string>());
  if (machine.contains("disk"))
    say("disk", human_bytes(machine["disk"]["bytes_per_second"]["max"].get<double>()) +
                    "/s written and synced, at best");
  const std::string method = fmt::format(
      "median of {}; every timed result was checked; of floor: the least time that these rates "
      "allow, by the time taken",
      options_.repeat);
  if (format_ == "md")
    print_as_is("- " + method + "\n");
  else if (format_ == "text")
    print(context_.out.paint(Style::kDim, method) + "\n");
  for (const auto* comparison : {&before_, &peer_}) {
    if (!*comparison) continue;
    const bench::Records& records = (*comparison)->records();
    const std::string difference = (*comparison)->machine_difference(machine);
    const char* name = comparison == &before_ ? "compared" : "baseline";
    say(name, fmt::format("{}: {}{}", quote(records.file), quote(records.title),
                          difference.empty() ? "" : "; another machine: " + difference));
  }
}

void BenchReport::print_rates(const DeviceRates& rates) const {
  if (for_people()) print("\n");
  say("device", rates.device);
  say("memory",
      human_bytes(rates.bandwidth.max()) + "/s at best" +
          (rates.small_pages.empty()
               ? ""
               : fmt::format(", {}/s from pages of 4 KB", human_bytes(rates.small_pages.max()))));
  for (const auto& [dtype, found] : rates.arithmetic) {
    say("arithmetic", fmt::format("{:.4g} TFLOP/s at best, {} ({})", 1e-12 * found.operations.max(),
                                  dtype_name(dtype), found.by));
  }
  if (!rates.barrier.empty())
    say("barrier", fmt::format("{:.2f} us for a parallel region with nothing in it",
                               1e6 * rates.barrier.median()));
  if (!rates.launch.empty())
    say("launch",
        fmt::format("{:.2f} us for a small recorded operation", 1e6 * rates.launch.median()));
}

void BenchReport::take_disk(const bench::Samples& bytes_per_second) {
  json_["machine"]["disk"] = {
      {"folder", options_.scratch.empty() ? Json(nullptr) : Json(options_.scratch)},
      {"bytes_per_second", bench::samples_json(bytes_per_second)}};
}

void BenchReport::take(const DeviceRates& rates) {
  json_["machine"]["rates"].push_back(rates.json());
  if (format_ == "json") return;
  if (!begun_) print_machine();
  print_rates(rates);
  if (for_people()) print("\n");
  if (for_people() || !begun_) print_as_is(table_.head());
  begun_ = true;
  std::fflush(stdout);
}

void BenchReport::take(const Row& row) {
  BenchLine line{row, {}, {}};
  if (before_) line.before = before_->take(row);
  if (peer_) line.peer = peer_->take(row);
  Json json = row.json();
  if (line.before) json["compare"] = line.before->json();
  if (line.peer) json["baseline"] = line.peer->json();
  json_["rows"].push_back(std::move(json));
  if (format_ == "json") return;
  print_as_is(table_.line(line));
  std::fflush(stdout);  // a long run is watched, or cut off
}

void BenchReport::print_comparison(const Comparison& comparison, bool list_ours) const {
  const std::string& file = comparison.records().file;
  const auto list = [&](const std::string& where, const std::vector<std::string>& labels) {
    for (const std::string& label : labels) say(where, quote(label, 160));
  };
  if (for_people()) print("\n");
  const size_t here = comparison.only_here().size();
  const std::vector<std::string> there = comparison.only_there();
  say("compared",
      fmt::format("with {}: {} rows are not in it, {} of its rows were not measured here",
                  quote(file), here, there.size()));
  if (list_ours) list("only here", comparison.only_here());
  list("only there", there);
}

void BenchReport::finish(bool complete) {
  json_["complete"] = complete;
  if (before_) json_["compare"] = before_->json(json_["machine"]);
  if (peer_) json_["baseline"] = peer_->json(json_["machine"]);
  if (before_) print_comparison(*before_, true);
  if (peer_) print_comparison(*peer_, false);  // a peer has few rows, and need not have all of ours
  if (file_) {
    file_->append(json_.dump(1) + "\n");
    file_->commit();
  }
  if (format_ == "json") print_as_is(json_.dump(1) + "\n");
}

}  // namespace vitrine::cli
