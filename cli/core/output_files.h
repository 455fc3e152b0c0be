// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cli/core/context.h"
#include "cli/core/tokens.h"
#include "report/result.h"
#include "vitrine/report/figure.h"
#include "vitrine/report/page.h"

namespace vitrine::cli {
using namespace internal;

/// The options of every command that can show its result outside the terminal.
struct PageArgs {
  std::string html, svg, png;
};

struct ResultArgs : PageArgs {
  std::string out, csv;
  /// Whether a requested file has every number.
  bool lists_all() const { return !out.empty() || !csv.empty() || !html.empty(); }
};
/// --out, --csv, --html, --svg, --png: what a result's description gives (report/result.h).
void add_result_options(Command& command, ResultArgs& args);
/// Writes the requested files. Throws Error (user) for a file that cannot be written.
void write_results(const ResultArgs& args, std::span<const Result> results,
                   const PageSource& source);
/// What --json prints: json_head() and "results", each with its prompt.
JsonValue results_json(const std::string& command, const Model& model,
                       std::span<const Result> results, const std::vector<Prompt>& prompts);

/// --html
void add_page_options(Command& command, PageArgs& args);
/// --svg, --png: for results that are a picture.
void add_figure_options(Command& command, PageArgs& args);

/// Writes the requested files. Throws Error (user) for a file that cannot be written.
void write_page(const PageArgs& args, const Context& context, const Model& model,
                const std::function<std::string(const PageSource&)>& page);

void write_figures(const PageArgs& args, const std::function<std::string(FigureFormat)>& figure);

/// A word as a POSIX shell reads it; non-printable text as $'\xNN'.
std::string shell_word(std::string_view word);
/// "vitrine" and the words after it.
std::string shell_line(int argc, const char* const* argv);

}  // namespace vitrine::cli
