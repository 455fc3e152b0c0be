// SPDX-License-Identifier: MIT
#include "report/page.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "report/assets.h"
#include "report/figures/palette.h"
#include "vitrine/dtype.h"
#include "vitrine/version.h"

namespace vitrine {
using namespace internal;
namespace {

/// The parts of every page, in the order in which they build on each other.
constexpr std::array kCommon = {"base.js", "color.js", "card.js", "grid.js",
                                "plot.js", "dots.js",  "text.js", "page.js"};

/// `<` is escaped, so that the text of a token cannot end the script that contains it.
std::string script_json(const JsonValue& json) {
  std::string text;
  for (const char c : json.dump()) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

std::string html_text(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else if (c == '&')
      escaped += "&amp;";
    else if (c == '"')
      escaped += "&quot;";
    else
      escaped += c;
  }
  return escaped;
}

std::string scripts(const std::string& kind) {
  std::string text;
  for (const char* name : kCommon) text += fmt::format("<script>\n{}</script>\n", asset(name));
  const std::string_view own = asset(kind + ".js");
  if (own.empty()) internal_error("unknown page '{}'", kind);
  return text + fmt::format("<script>\n{}</script>\n", own);
}

std::string footer(const PageSource& source) {
  std::string text;
  if (!source.command.empty()) {
    text += fmt::format(
        "<p class=\"command\"><code id=\"command\">{}</code> <button type=\"button\" "
        "id=\"copy-command\">Copy command</button></p>\n",
        html_text(source.command));
  }
  if (source.model.empty()) return text + "<p>Vitrine " VITRINE_VERSION "</p>\n";
  return text + fmt::format("<p>Vitrine {}, model {}, {}, {}</p>\n", VITRINE_VERSION,
                            html_text(source.model), html_text(source.device),
                            html_text(source.dtype));
}

}  // namespace

PageSource PageSource::of(const Model& model, std::string command) {
  return {.model = model.name(),
          .device = model.device_description(),
          .dtype = std::string(dtype_name(model.dtype())),
          .config = model.config(),
          .tokenizer = model.shared_tokenizer(),
          .command = std::move(command)};
}

std::string internal::render(const Page& page, const TokenTable& tokens, const PageSource& source) {
  const JsonValue data = {{"kind", page.kind},
                          {"palette", palette_json()},
                          {"tokens", tokens.json()},
                          {"results", page.results}};
  // The policy lets the browser itself refuse whatever would reach outside the file.
  return fmt::format(
      R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<title>{0}{1}</title>
<style>
{2}</style>
</head>
<body>
<header>
<h1>{0}</h1>
<p class="subtitle">{3}</p>
<p class="help">{4}</p>
</header>
<main id="main"><noscript><p>This page draws its numbers with JavaScript, which is switched off here. Nothing is loaded from anywhere.</p></noscript></main>
<footer>
{5}</footer>
<script type="application/json" id="data">{6}</script>
{7}</body>
</html>
)",
      html_text(page.title), page.subtitle.empty() ? "" : ": " + html_text(page.subtitle),
      asset("style.css"), html_text(page.subtitle), html_text(page.help), footer(source),
      script_json(data), scripts(page.kind));
}

std::string internal::text_label(std::span<const int32_t> ids, const PageSource& source) {
  constexpr size_t kMostTokens = 48;
  const auto known = [&](int32_t id) { return id >= 0 && id < source.tokenizer->vocab_size(); };
  if (!source.tokenizer || !std::all_of(ids.begin(), ids.end(), known))
    return fmt::format("{} ids", ids.size());
  return printable(source.tokenizer->decode(ids.first(std::min(ids.size(), kMostTokens)))) +
         (ids.size() > kMostTokens ? "…" : "");
}

void internal::check_results(size_t count, std::string_view page) {
  if (count == 0) user_error("missing result for a {} page: expected at least one", page);
}

}  // namespace vitrine
