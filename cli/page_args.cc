#include "cli/page_args.h"

#include <fmt/format.h>

#include <string_view>

#include "base/atomic_file.h"

namespace vitrine::cli {
namespace {

/// One word. What is not plain ASCII text stands as $'\xNN', so that the line survives being shown and copied.
std::string shell_word(std::string_view word) {
  constexpr std::string_view kHarmless = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+:,./@%";
  if (!word.empty() && word.find_first_not_of(kHarmless) == std::string_view::npos) return std::string(word);
  bool plain = true;
  for (const char c : word) plain = plain && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  std::string quoted;
  if (plain && printable(word).find("\\x") == std::string::npos) {
    for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return "'" + quoted + "'";
  }
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\'' || c == '\\') quoted += fmt::format("\\{}", c);
    else if (byte < 0x20 || byte >= 0x7f) quoted += fmt::format("\\x{:02x}", byte);
    else quoted += c;
  }
  return "$'" + quoted + "'";
}

}  // namespace

void add_page_options(CLI::App& command, PageArgs& args) {
  command.add_option("--html", args.html, "Also write an interactive page, one file that needs nothing else")->type_name("FILE")->group("Output");
}

void write_page(const PageArgs& args, const Context& context, const Model& model, const std::function<std::string(const PageSource&)>& page) {
  if (!args.html.empty()) write_file(args.html, page(PageSource::of(model, context.command_line)));
}

std::string shell_line(int argc, const char* const* argv) {
  std::string line = "vitrine";
  for (int i = 1; i < argc; ++i) line += " " + shell_word(argv[i]);
  return line;
}

}  // namespace vitrine::cli
