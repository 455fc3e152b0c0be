// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_value.h"
#include "report/token_table.h"
#include "vitrine/report/page.h"

namespace vitrine::internal {

/// What a page is made of. The browser's side is report/assets: common parts, and KIND.js, which
/// draws `results`.
struct Page {
  std::string kind;      ///< "lens"
  std::string title;     ///< "Logit lens"
  std::string subtitle;  ///< one line of what is shown; may be empty
  std::string help;      ///< how to read the page, a sentence or two
  JsonValue results = JsonValue::array();
};

/// The whole file. The same arguments give the same bytes.
std::string render(const Page& page, const TokenTable& tokens, const PageSource& source);

/// What a list of results calls one of them: the beginning of its text.
std::string text_label(std::span<const int32_t> ids, const PageSource& source);

/// Throws Error (user) for a page of nothing.
void check_results(size_t count, std::string_view page);

}  // namespace vitrine::internal
