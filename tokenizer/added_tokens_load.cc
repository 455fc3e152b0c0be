// SPDX-License-Identifier: MIT
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "base/xxhash64.h"
#include "tokenizer/loaders.h"
#include "tokenizer/unicode_class.h"

namespace vitrine::internal {
namespace {

bool begins_with_space(std::string_view text) {
  const Utf8Step step = utf8_step(text);
  return step.valid && char_class(step.code_point) == CharClass::kSpace;
}

AddedToken read_added_token(const Json& entry, const std::string& where) {
  const JsonFields fields(entry, where);
  AddedToken token;
  token.id = static_cast<int32_t>(fields.require_integer("id", 0, kMaxTokenId));
  if (!fields.has("content")) fields.refuse("content", "expected the token's text");
  token.content = *fields.text("content");
  token.special = fields.boolean("special").value_or(false);
  token.lstrip = fields.boolean("lstrip").value_or(false);
  token.rstrip = fields.boolean("rstrip").value_or(false);
  token.normalized = fields.boolean("normalized").value_or(!token.special);
  token.single_word = fields.boolean("single_word").value_or(false);
  return token;
}

}  // namespace

std::vector<AddedToken> read_added_tokens(const JsonFields& root, const std::string& file) {
  std::vector<AddedToken> tokens;
  const Json* const list = root.find("added_tokens");
  if (!list) return tokens;
  if (!list->is_array()) root.refuse("added_tokens", "expected a list");
  for (const Json& entry : *list) {
    const std::string where = fmt::format("{}: added_tokens[{}]", file, tokens.size());
    tokens.push_back(read_added_token(entry, where));
  }
  check_added_tokens(tokens, file);
  return tokens;
}

void number_added_tokens(std::vector<AddedToken>& tokens, int32_t model_tokens,
                         const std::function<int32_t(const std::string&)>& find) {
  std::vector<AddedToken> numbered;
  std::unordered_map<std::string, size_t, SecretHash> places;
  int32_t next = model_tokens;
  for (AddedToken& token : tokens) {
    const auto [place, is_new] = places.emplace(token.content, numbered.size());
    if (!is_new) {
      // The later of two counts.
      token.id = numbered[place->second].id;
      numbered[place->second] = std::move(token);
      continue;
    }
    token.id = find(token.content);
    if (token.id < 0) token.id = next++;
    numbered.push_back(std::move(token));
  }
  tokens = std::move(numbered);
}

void check_added_tokens(const std::vector<AddedToken>& tokens, const std::string& file) {
  const AddedToken *takes_space_after = nullptr, *begins_with = nullptr;
  for (const AddedToken& token : tokens) {
    if (token.content.empty())
      user_error("{}: the content of added token {} is empty: expected the token's text", file,
                 token.id);
    if (token.rstrip) takes_space_after = &token;
    if (begins_with_space(token.content)) begins_with = &token;
  }
  if (takes_space_after && begins_with) {
    user_error(
        "{}: added token {} strips white space after it (rstrip) that added token {} begins with; "
        "set rstrip to false",
        file, quote(takes_space_after->content), quote(begins_with->content));
  }
}

}  // namespace vitrine::internal
