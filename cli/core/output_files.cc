// SPDX-License-Identifier: MIT
#include "cli/core/output_files.h"

#include <fmt/core.h>

#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "cli/core/arrays.h"
#include "vitrine/error.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// The empty text, or why this file cannot be written: to be known before the work.
std::string why_not(const std::string& path) {
  try {
    const AtomicFile probe(path);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

std::string why_no_arrays(const std::string& path) {
  try {
    if (!is_array_folder(path)) {
      check_array_path(path, ", or a folder (ending in /) for .npy files");
      return why_not(path);
    }
    const AtomicFolder probe(folder_path(path));
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

std::string why_no_figure(const std::string& path) {
  if (!can_draw_figures())
    return "this build draws no figures: rebuild with Cairo and -DVITRINE_CAIRO=ON";
  return why_not(path);
}

void add_file(Command& command, const std::string& name, std::string& path, const std::string& help,
              std::string (*check)(const std::string&)) {
  command.add_option(name, path, help)->type_name("FILE")->group("Output")->check(Check(check));
}

}  // namespace

void add_result_options(Command& command, ResultArgs& args) {
  add_file(command, "-o,--out", args.out,
           "Write all numbers to FILE.safetensors, or to FOLDER/ as .npy files", why_no_arrays);
  add_file(command, "--csv", args.csv, "Write the numbers as a table, a line a cell", why_not);
  add_page_options(command, args);
  add_figure_options(command, args);
}

void write_results(const ResultArgs& args, std::span<const Result> results,
                   const PageSource& source) {
  if (!args.out.empty()) {
    Arrays arrays;
    std::map<std::string, std::string> metadata = {{"vitrine", VITRINE_VERSION}};
    if (!source.model.empty()) metadata["model"] = source.model;
    for (size_t i = 0; i < results.size(); ++i) add_arrays(results[i], i, arrays, metadata);
    write_arrays(args.out, arrays, metadata);
  }
  if (!args.csv.empty()) write_file(args.csv, results_csv(results, Names(source.tokenizer)));
  if (!args.html.empty()) write_file(args.html, results_page(results, source));
  write_figures(args, [&](FigureFormat format) { return results_figure(results, format); });
}

JsonValue results_json(const std::string& command, const Model& model,
                       std::span<const Result> results, const std::vector<Prompt>& prompts) {
  const Names names(model.shared_tokenizer());
  JsonValue json = json_head(command, model);
  for (size_t i = 0; i < results.size(); ++i) {
    JsonValue result = result_json(results[i], names);
    add_text(result["prompt"], prompts[i].text);
    result["prompt"]["tokens"] = names.json(prompts[i].ids);
    json["results"].push_back(std::move(result));
  }
  return json;
}

void add_page_options(Command& command, PageArgs& args) {
  add_file(command, "--html", args.html, "Write an interactive page to FILE, self-contained",
           why_not);
}

void add_figure_options(Command& command, PageArgs& args) {
  add_file(command, "--svg", args.svg, "Write a figure to FILE", why_no_figure);
  add_file(command, "--png", args.png, "Write the figure as pixels", why_no_figure);
}

void write_page(const PageArgs& args, const Context& context, const Model& model,
                const std::function<std::string(const PageSource&)>& page) {
  if (!args.html.empty()) write_file(args.html, page(PageSource::of(model, context.command_line)));
}

void write_figures(const PageArgs& args, const std::function<std::string(FigureFormat)>& figure) {
  if (!args.svg.empty()) write_file(args.svg, figure(FigureFormat::kSvg));
  if (!args.png.empty()) write_file(args.png, figure(FigureFormat::kPng));
}

// What is not plain ASCII text stands as $'\xNN', so that the line survives being shown and copied.
std::string shell_word(std::string_view word) {
  constexpr std::string_view kHarmless =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+:,./@%";
  if (!word.empty() && word.find_first_not_of(kHarmless) == std::string_view::npos)
    return std::string(word);
  bool plain = true;
  for (const char c : word) plain = plain && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  std::string quoted;
  if (plain && printable(word).find("\\x") == std::string::npos) {
    for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return "'" + quoted + "'";
  }
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\'' || c == '\\')
      quoted += fmt::format("\\{}", c);
    else if (byte < 0x20 || byte >= 0x7f)
      quoted += fmt::format("\\x{:02x}", byte);
    else
      quoted += c;
  }
  return "$'" + quoted + "'";
}

std::string shell_line(int argc, const char* const* argv) {
  std::string line = "vitrine";
  for (int i = 1; i < argc; ++i) line += " " + shell_word(argv[i]);
  return line;
}

}  // namespace vitrine::cli
