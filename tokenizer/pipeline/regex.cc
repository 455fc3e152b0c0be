// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/quote.h"
#include "base/utf8.h"

namespace vitrine::internal {
namespace {

// Of one match. Patterns in use need some tens of steps a character.
constexpr uint32_t kMaxSteps = 10'000'000;
constexpr uint32_t kMaxHeapKilobytes = 64 << 10;

struct CompileContext {
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context{
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free};
  CompileContext() {
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context.get(), 100);
    pcre2_set_max_pattern_length(context.get(), 1 << 20);
  }
};

std::string message_of(int code) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

/// One search after the other through one text.
class Search {
 public:
  Search(const pcre2_code* code, std::string_view text, const std::string& where)
      : code_(code),
        text_(text),
        where_(where),
        match_(pcre2_match_data_create(1, nullptr), &pcre2_match_data_free),
        limits_(pcre2_match_context_create(nullptr), &pcre2_match_context_free) {
    pcre2_set_match_limit(limits_.get(), kMaxSteps);
    pcre2_set_heap_limit(limits_.get(), kMaxHeapKilobytes);
  }

  /// The first match from `from` on.
  std::optional<TextSpan> next(size_t from) {
    int result = run(from, 0);
    // A long match may need more than the stack that compiled code has.
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(from, PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
    if (result < 0) {
      user_error("{}: the regular expression fails on a text of {} bytes: {}; split the text",
                 where_, text_.size(), message_of(result));
    }
    const PCRE2_SIZE* at = pcre2_get_ovector_pointer(match_.get());
    return TextSpan{static_cast<uint32_t>(std::min(at[0], at[1])), static_cast<uint32_t>(at[1])};
  }

 private:
  int run(size_t from, uint32_t options) {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(), from,
                       options | PCRE2_NO_UTF_CHECK, match_.get(), limits_.get());
  }

  const pcre2_code* code_;
  std::string_view text_;
  const std::string& where_;
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match_;
  std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> limits_;
};

}  // namespace

Regex::Regex(std::string_view pattern, const std::string& where) : where_(where) {
  const std::string translated = translated_regex(pattern, where);
  const CompileContext compile;
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* const code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &at,
                    compile.context.get());
  if (code == nullptr) {
    user_error("{}: invalid regular expression {}: {}; correct the pattern", where, quote(pattern),
               message_of(error));
  }
  code_ = std::shared_ptr<const void>(code, [code](const void*) { pcre2_code_free(code); });
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it, matching is only slower
}

std::vector<TextMatch> Regex::split(std::string_view text) const {
  std::vector<TextMatch> out;
  if (text.empty()) return out;
  Search search(static_cast<const pcre2_code*>(code_.get()), text, where_);
  size_t done = 0, from = 0;
  std::optional<size_t> last_end;
  while (from <= text.size()) {
    const auto found = search.next(from);
    if (!found) break;
    // An empty match right after a match is none, so that the search moves on.
    if (found->begin == found->end && last_end == found->end) {
      from += from < text.size() ? utf8_step(text.substr(from, 4)).length : 1;
      continue;
    }
    if (done < found->begin) out.push_back({done, found->begin, false});
    out.push_back({found->begin, found->end, true});
    done = from = found->end;
    last_end = found->end;
  }
  if (done < text.size()) out.push_back({done, text.size(), false});
  return out;
}

std::string escaped_regex(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9') ||
                       (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ';
    if (plain) {
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{{{:x}}}", static_cast<unsigned>(c));
    } else {
      out += '\\';
      out += c;
    }
  }
  return out;
}

}  // namespace vitrine::internal
