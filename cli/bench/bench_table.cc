// SPDX-License-Identifier: MIT
#include "cli/bench/bench_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/csv.h"
#include "base/quote.h"

namespace vitrine::cli {
using namespace internal;

using bench::Compared;
using bench::Row;

constexpr int kBelow = -1;

/// One column of every format: a cell for people, and values for programs, which are found in the
/// row's JSON.
struct BenchColumn {
  const char* title;
  size_t width;  ///< as text; 0: that of the models' names
  bool right;
  int dropped;  ///< which columns a narrow terminal goes without: 1 first; 0: none; kBelow: text
                ///< has it in a line of its own
  bool (*wanted)(const BenchColumnsWanted&);  ///< null: always
  std::string (*cell)(const BenchLine&);
  std::vector<std::pair<const char*, const char*>> values;  ///< CSV's name and place in the JSON
};

namespace {

/// Four digits that count.
std::string number(double value) {
  return value >= 1e4 ? thousands(static_cast<int64_t>(value)) : fmt::format("{:.4g}", value);
}

std::string milliseconds(double seconds) {
  const double ms = 1e3 * seconds;
  return fmt::format("{:.{}f}", ms,
                     ms >= 1000  ? 0
                     : ms >= 100 ? 1
                     : ms >= 10  ? 2
                     : ms >= 1   ? 3
                                 : 4);
}

/// A dash where nothing was measured: a row that did not fit.
template <typename Text>
std::string where_measured(const Row& row, const Text& text) {
  return row.seconds.empty() ? "-" : text(row);
}

std::string their_time(const std::optional<Compared>& found) {
  return found ? milliseconds(found->theirs.median) : "-";
}
std::string verdict(const std::optional<Compared>& found) {
  return found ? fmt::format("{:.3f}x {}", found->ratio, bench::verdict_name(found->verdict)) : "-";
}

std::string note_of(const Row& row) {
  std::string note = row.note;
  if (!row.recorded.empty())
    note += fmt::format("{}{} ms a step once it is recorded", note.empty() ? "" : "; ",
                        milliseconds(row.recorded.median()));
  return note;
}

const std::vector<BenchColumn>& all_columns() {
  using Wanted = BenchColumnsWanted;
  using Line = BenchLine;
  static const std::vector<BenchColumn> columns = {
      {"model",
       0,
       false,
       0,
       nullptr,
       [](const Line& l) { return l.row.model; },
       {{"model", "/model"}}},
      {"dtype",
       5,
       false,
       0,
       nullptr,
       [](const Line& l) { return l.row.dtype; },
       {{"dtype", "/dtype"}}},
      {"device",
       7,
       false,
       0,
       [](const Wanted& w) { return w.device; },
       [](const Line& l) { return l.row.device; },
       {{"device", "/device"}}},
      {"threads",
       7,
       true,
       0,
       [](const Wanted& w) { return w.threads; },
       [](const Line& l) { return l.row.threads > 0 ? std::to_string(l.row.threads) : "-"; },
       {{"threads", "/threads"}}},
      {"test",
       34,
       false,
       0,
       nullptr,
       [](const Line& l) { return l.row.workload + " " + l.row.shape; },
       {{"workload", "/workload"}, {"shape", "/shape"}}},
      {"hooks",
       12,
       false,
       0,
       nullptr,
       [](const Line& l) { return l.row.hooks; },
       {{"hooks", "/hooks"}}},
      {"ms",
       9,
       true,
       0,
       nullptr,
       [](const Line& l) {
         return where_measured(l.row,
                               [](const Row& r) { return milliseconds(r.seconds.median()); });
       },
       {{"seconds_median", "/seconds/median"}}},
      {"min .. max",
       20,
       true,
       1,
       nullptr,
       [](const Line& l) {
         return where_measured(l.row, [](const Row& r) {
           return milliseconds(r.seconds.min()) + " .. " + milliseconds(r.seconds.max());
         });
       },
       {{"seconds_min", "/seconds/min"},
        {"seconds_max", "/seconds/max"},
        {"count", "/seconds/count"}}},
      {"noise",
       7,
       true,
       3,
       nullptr,
       [](const Line& l) {
         return l.row.seconds.values.size() > 1
                    ? fmt::format("{:.1f} %", 100 * l.row.seconds.noise())
                    : "-";
       },
       {{"noise", "/noise"}}},
      {"rate",
       15,
       true,
       0,
       nullptr,
       [](const Line& l) {
         return where_measured(l.row, [](const Row& r) { return number(r.rate()) + " " + r.unit; });
       },
       {{"rate", "/rate"}, {"unit", "/unit"}}},
      {"of floor",
       8,
       true,
       0,
       nullptr,
       [](const Line& l) {
         return where_measured(
             l.row, [](const Row& r) { return fmt::format("{:.1f} %", 100 * r.share()); });
       },
       {{"floor_seconds", "/floor_seconds"}, {"share_of_floor", "/share_of_floor"}}},
      {"ratio",
       15,
       false,
       0,
       nullptr,
       [](const Line& l) {
         return l.row.ratio.empty()
                    ? where_measured(l.row, [](const Row&) { return std::string(); })
                    : fmt::format("{:.3f}x {}", l.row.ratio.median(), l.row.against);
       },
       {{"ratio", "/ratio/median"}, {"against", "/against"}}},
      {"loaded ms",
       9,
       true,
       0,
       [](const Wanted& w) { return w.loaded; },
       [](const Line& l) {
         return l.row.loaded.empty() ? "-" : milliseconds(l.row.loaded.median());
       },
       {{"loaded_seconds", "/loaded_seconds/median"}}},
      {"loaded / quiet",
       14,
       true,
       0,
       [](const Wanted& w) { return w.loaded; },
       [](const Line& l) {
         return l.row.loaded_ratio.empty() ? "-"
                                           : fmt::format("{:.2f}x", l.row.loaded_ratio.median());
       },
       {{"loaded_over_quiet", "/loaded_ratio/median"}}},
      {"memory",
       8,
       true,
       2,
       nullptr,
       [](const Line& l) {
         return human_bytes(static_cast<double>(std::max(l.row.peak_bytes, l.row.device_bytes)));
       },
       {{"peak_bytes", "/peak_bytes"},
        {"device_bytes", "/device_bytes"},
        {"captured_bytes", "/captured_bytes"}}},
      {"before ms",
       9,
       true,
       0,
       [](const Wanted& w) { return w.before; },
       [](const Line& l) { return their_time(l.before); },
       {{"before_seconds", "/compare/seconds/median"}}},
      {"now / before",
       20,
       false,
       0,
       [](const Wanted& w) { return w.before; },
       [](const Line& l) { return verdict(l.before); },
       {{"now_over_before", "/compare/ratio"}, {"change", "/compare/verdict"}}},
      {"peer ms",
       9,
       true,
       0,
       [](const Wanted& w) { return w.peer; },
       [](const Line& l) { return their_time(l.peer); },
       {{"peer_seconds", "/baseline/seconds/median"}}},
      {"ours / peer",
       20,
       false,
       0,
       [](const Wanted& w) { return w.peer; },
       [](const Line& l) { return verdict(l.peer); },
       {{"ours_over_peer", "/baseline/ratio"}, {"against_peer", "/baseline/verdict"}}},
      {"note",
       4,
       false,
       kBelow,
       nullptr,
       [](const Line& l) { return note_of(l.row); },
       {{"note", "/note"}}}};
  return columns;
}

/// CSV's alone, the same in every row.
constexpr const char* kMachine[] = {"cpu", "cores", "compiler", "flags", "commit", "date"};

std::string csv_value(const Json& value) {
  if (value.is_null()) return "";
  return csv_field(value.is_string() ? value.get<std::string>() : value.dump());
}

std::string in_markdown(const std::string& cell) {
  std::string text;
  for (const char c : cell) text += c == '|' ? std::string("\\|") : std::string(1, c);
  return text;
}

}  // namespace

BenchTable::BenchTable(const Terminal& out, BenchFormat format, const BenchColumnsWanted& wanted,
                       Json machine)
    : out_(out), format_(format), machine_(std::move(machine)) {
  choose(wanted);
}

void BenchTable::choose(const BenchColumnsWanted& wanted) {
  const bool text = format_ == BenchFormat::kText;
  size_t total = 1;
  for (const BenchColumn& column : all_columns()) {
    if ((column.wanted && !column.wanted(wanted)) || (text && column.dropped == kBelow)) continue;
    shown_.push_back({&column, column.width > 0 ? column.width : wanted.model_width});
    total += shown_.back().width + 3;
  }
  if (!text || out_.width() == 0) return;
  for (int next = 1; next <= 3 && total > out_.width(); ++next) {
    const auto found = std::find_if(shown_.begin(), shown_.end(), [&](const Shown& shown) {
      return shown.column->dropped == next;
    });
    total -= found->width + 3;
    shown_.erase(found);
  }
}

std::string BenchTable::head() const {
  std::vector<std::string> names, rules;
  for (const Shown& shown : shown_) {
    for (const auto& [name, place] : shown.column->values) {
      if (format_ == BenchFormat::kCsv) names.emplace_back(name);
    }
    if (format_ == BenchFormat::kCsv) continue;
    names.emplace_back(shown.column->title);
    const size_t width = format_ == BenchFormat::kText ? shown.width : 3;
    rules.emplace_back(shown.column->right ? std::string(width - 1, '-') + ":"
                                           : std::string(width, '-'));
  }
  if (format_ == BenchFormat::kCsv) {
    names.insert(names.end(), std::begin(kMachine), std::end(kMachine));
    return fmt::format("{}\n", fmt::join(names, ","));
  }
  if (format_ == BenchFormat::kMarkdown) return joined(names) + "\n" + joined(rules) + "\n";
  return out_.paint(Style::kDim, joined(names)) + "\n" + out_.paint(Style::kDim, joined(rules)) +
         "\n";
}

std::string BenchTable::joined(const std::vector<std::string>& cells) const {
  std::string text = "|";
  for (size_t i = 0; i < shown_.size(); ++i) {
    const size_t width = shown_[i].width;
    if (format_ == BenchFormat::kMarkdown)
      text += " " + in_markdown(cells[i]) + " |";
    else
      text +=
          " " + (shown_[i].column->right ? right(cells[i], width) : left(cells[i], width)) + " |";
  }
  return text;
}

std::string BenchTable::csv(const BenchLine& line) const {
  Json row = line.row.json();
  if (line.before) row["compare"] = line.before->json();
  if (line.peer) row["baseline"] = line.peer->json();
  std::vector<std::string> cells;
  for (const Shown& shown : shown_) {
    for (const auto& [name, place] : shown.column->values) {
      const Json::json_pointer pointer(place);
      cells.push_back(row.contains(pointer) ? csv_value(row[pointer]) : "");
    }
  }
  for (const char* name : kMachine) cells.push_back(csv_value(machine_.value(name, Json())));
  return fmt::format("{}\n", fmt::join(cells, ","));
}

std::string BenchTable::line(const BenchLine& line) const {
  if (format_ == BenchFormat::kCsv) return csv(line);
  std::vector<std::string> cells;
  for (const Shown& shown : shown_) cells.push_back(shown.column->cell(line));
  std::string text = joined(cells) + "\n";
  const std::string note = note_of(line.row);
  if (format_ == BenchFormat::kText && !note.empty())
    text += out_.paint(Style::kDim, "  " + note) + "\n";
  return text;
}

}  // namespace vitrine::cli
