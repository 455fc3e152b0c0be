// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cli/core/context.h"
#include "vitrine/report/figure.h"
#include "vitrine/report/page.h"

namespace vitrine::cli {
using namespace internal;

/// The options of every command that can show its result outside the terminal.
struct PageArgs {
  std::string html, svg, png;
};

/// --html
void add_page_options(Command& command, PageArgs& args);
/// --svg, --png: for results that are a picture.
void add_figure_options(Command& command, PageArgs& args);

/// Writes the requested files. Throws Error (user) for a file that cannot be written.
void write_page(const PageArgs& args, const Context& context, const Model& model,
                const std::function<std::string(const PageSource&)>& page);
/// The same of what came from no model.
void write_page(const PageArgs& args, const Context& context,
                const std::function<std::string(const PageSource&)>& page);

void write_figures(const PageArgs& args, const std::function<std::string(FigureFormat)>& figure);

/// A word as a POSIX shell reads it; non-printable text as $'\xNN'.
std::string shell_word(std::string_view word);
/// "vitrine" and the words after it.
std::string shell_line(int argc, const char* const* argv);

}  // namespace vitrine::cli
