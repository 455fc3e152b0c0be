// SPDX-License-Identifier: MIT
#include "bench/measure/records.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// The parts of a key, joined by what none of them holds; empty ones are left out of a label.
struct Parts {
  std::string model, dtype, device, threads, workload, shape, hooks;

  std::string joined(const char* by, bool all) const {
    std::string text;
    for (const std::string* part : {&model, &dtype, &device, &threads, &workload, &shape, &hooks}) {
      if (all || !part->empty()) text += (text.empty() ? "" : by) + *part;
    }
    return text;
  }
  std::string key() const { return joined("\x1f", true); }
  std::string label() const {
    Parts words = *this;
    if (!words.threads.empty()) words.threads += words.threads == "1" ? " thread" : " threads";
    if (!words.hooks.empty()) words.hooks = "hooks " + words.hooks;
    return words.joined(" ", false);
  }
};

/// A workload that knows no hooks and one that has none of them are the same.
std::string hooks_of(const std::string& name) { return name == "none" ? "" : name; }

Parts parts_of(const Row& row) {
  return {row.model,          row.dtype,
          row.device,         row.threads > 0 ? std::to_string(row.threads) : "",
          row.workload,       row.shape,
          hooks_of(row.hooks)};
}

/// One row of a file; `where` is what errors call it.
class RowReader {
 public:
  RowReader(const Json& row, const std::string& where) : where_(where), fields_(row, where) {}

  Parts parts() const {
    Parts parts{word("model"),
                word("dtype"),
                word("device"),
                "",
                word("workload"),
                word("shape"),
                hooks_of(fields_.text("hooks").value_or(""))};
    if (parts.device == "cuda") parts.device = "cuda:0";
    if (parts.device != "cpu" && !parts.device.starts_with("cuda:"))
      fields_.refuse("device", "expected cpu, cuda or cuda:N");
    if (const auto threads = fields_.integer("threads", 1, 1 << 20);
        threads && parts.device == "cpu")
      parts.threads = std::to_string(*threads);
    return parts;
  }

  /// Nothing for a row that could not be measured.
  std::optional<Spread> seconds() const {
    const Json* seconds = fields_.find("seconds");
    if (!seconds) return std::nullopt;
    const std::string where = where_ + ": seconds";
    const JsonFields fields(*seconds, where);
    const auto number = [&](const char* name) {
      const std::optional<double> value = fields.number(name);
      if (!value || !std::isfinite(*value)) fields.refuse(name, "expected a number of seconds");
      return *value;
    };
    const Spread spread{number("median"), number("min"), number("max"),
                        fields.require_integer("count", 1, int64_t{1} << 40)};
    if (spread.median <= 0) fields.refuse("median", "expected more than 0 seconds");
    if (spread.min > spread.median) fields.refuse("min", "expected at most the median");
    if (spread.max < spread.median) fields.refuse("max", "expected at least the median");
    return spread;
  }

 private:
  std::string word(const char* name) const {
    const std::optional<std::string> text = fields_.text(name);
    if (!text) fields_.refuse(name, "expected a string");
    return *text;
  }

  const std::string& where_;
  JsonFields fields_;
};

std::string title_of(const JsonFields& fields) {
  if (const auto peer = fields.text("peer")) return *peer;
  if (const auto version = fields.text("vitrine")) return "vitrine " + *version;
  fields.refuse("peer", "expected the measuring program, such as \"transformers 5.23\"");
}

/// A fact of a machine as a line shows it; empty if it is not there.
std::string fact(const Json& machine, const char* name) {
  const auto it = machine.find(name);
  return it == machine.end() || it->is_null() ? "" : describe_json(*it);
}

/// The GPUs that rows were measured on, of `machine.gpu` (a peer's) or of the rates (ours).
std::string gpus(const Json& machine) {
  std::set<std::string> names;
  if (const std::string name = fact(machine, "gpu"); !name.empty()) names.insert(name);
  const auto rates = machine.find("rates");
  if (rates != machine.end() && rates->is_array()) {
    for (const Json& each : *rates) {
      const std::string name = each.is_object() ? fact(each, "device") : "";
      if (!name.empty() && !name.starts_with("'cpu")) names.insert(name);
    }
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

std::string record_key(const Row& row) { return parts_of(row).key(); }

Records read_records(const std::filesystem::path& path) {
  Records records;
  records.file = path.string();
  const Json json = read_json(path);
  const JsonFields fields(json, records.file);
  records.title = title_of(fields);
  const Json* machine = fields.find("machine");
  if (machine && !machine->is_object()) fields.refuse("machine", "expected an object of facts");
  records.machine = machine ? *machine : Json::object();
  const Json* rows = fields.find("rows");
  if (!rows || !rows->is_array()) fields.refuse("rows", "expected a list of rows");
  std::set<std::string> keys;
  for (size_t i = 0; i < rows->size(); ++i) {
    const std::string where = fmt::format("{}: rows[{}]", records.file, i);
    const RowReader reader((*rows)[i], where);
    const Parts parts = reader.parts();
    if (!keys.insert(parts.key()).second)
      user_error("{}: duplicate row {}: expected one row of each", where,
                 quote(parts.label(), 160));
    if (const auto seconds = reader.seconds())
      records.rows.push_back({parts.key(), parts.label(), *seconds});
  }
  return records;
}

const char* verdict_name(Compared::Verdict verdict) {
  switch (verdict) {
    case Compared::Verdict::kFaster:
      return "faster";
    case Compared::Verdict::kSlower:
      return "slower";
    default:
      return "within noise";
  }
}

Json Compared::json() const {
  return {{"seconds",
           {{"median", theirs.median},
            {"min", theirs.min},
            {"max", theirs.max},
            {"count", theirs.count}}},
          {"ratio", ratio},
          {"verdict", verdict_name(verdict)}};
}

std::optional<Compared> Comparison::take(const Row& row) {
  if (row.seconds.empty()) return std::nullopt;
  const Parts parts = parts_of(row);
  const std::string key = parts.key();
  for (size_t i = 0; i < records_.rows.size(); ++i) {
    if (records_.rows[i].key != key) continue;
    met_[i] = true;
    Compared found;
    found.theirs = records_.rows[i].seconds;
    found.ratio = row.seconds.median() / found.theirs.median;
    if (row.seconds.values.size() > 1 && found.theirs.count > 1) {
      if (row.seconds.max() < found.theirs.min) found.verdict = Compared::Verdict::kFaster;
      if (row.seconds.min() > found.theirs.max) found.verdict = Compared::Verdict::kSlower;
    }
    return found;
  }
  only_here_.push_back(parts.label());
  return std::nullopt;
}

std::string Comparison::machine_difference(const Json& machine) const {
  std::vector<std::string> differences;
  const auto compare = [&](const char* name, const std::string& here, const std::string& there) {
    if (!here.empty() && !there.empty() && here != there)
      differences.push_back(fmt::format("{} {}, there {}", name, here, there));
  };
  for (const char* name : {"cpu", "cores"})
    compare(name, fact(machine, name), fact(records_.machine, name));
  compare("GPU", gpus(machine), gpus(records_.machine));
  for (const char* name : {"compiler", "flags"})
    compare(name, fact(machine, name), fact(records_.machine, name));
  return fmt::format("{}", fmt::join(differences, "; "));
}

std::vector<std::string> Comparison::only_there() const {
  std::vector<std::string> labels;
  for (size_t i = 0; i < met_.size(); ++i) {
    if (!met_[i]) labels.push_back(records_.rows[i].label);
  }
  return labels;
}

Json Comparison::json(const Json& machine) const {
  const std::string difference = machine_difference(machine);
  return {{"file", records_.file},
          {"title", records_.title},
          {"machine_difference", difference.empty() ? Json(nullptr) : Json(difference)},
          {"only_here", only_here_},
          {"only_there", only_there()}};
}

}  // namespace vitrine::bench
