// SPDX-License-Identifier: MIT
#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "tokenizer/byte_alphabet.h"

namespace vitrine::internal {

uint32_t TokenIds::index_of(std::string_view name, size_t hash) const {
  return table_.find(hash, [&](uint32_t index) { return (*this)[index].name == name; });
}

int32_t TokenIds::find(std::string_view name) const {
  const uint32_t index = index_of(name, SecretHash()(name));
  return index == IndexTable::kNone ? -1 : places_[index].id;
}

int32_t TokenIds::add(std::string_view name, int32_t id) {
  const size_t hash = SecretHash()(name);
  const uint32_t index = index_of(name, hash);
  if (index != IndexTable::kNone) return places_[index].id;
  table_.insert(hash, static_cast<uint32_t>(places_.size()));
  places_.push_back({text_.size(), static_cast<uint32_t>(name.size()), id});
  text_ += name;
  return id;
}

VocabularyBuilder::VocabularyBuilder(const Json& json, std::string what)
    : what_(std::move(what)), ids_(json.size()), merges_(json.size()) {
  if (!json.is_object() || json.empty())
    user_error("{}: is {}: expected an object of token names and ids", what_, describe_json(json));
  merge_numbers_.reserve(json.size());  // nearly every token is a merge's
  spec_.merges.reserve(json.size());
  for (const auto& [name, id] : json.items()) {
    const bool whole = id.is_number_unsigned() &&
                       id.get<uint64_t>() <= uint64_t{std::numeric_limits<int32_t>::max()};
    if (!whole)
      user_error("{}: the id of {} is {}: expected an integer >= 0", what_, quote(name),
                 describe_json(id));
    ids_.add(name, id.get<int32_t>());
  }
}

void VocabularyBuilder::add(AddedToken token, const std::string& what) {
  if (token.content.empty())
    user_error("{}: the content is empty: expected the token's text", what);
  if (const int32_t id = ids_.add(token.content, token.id); id != token.id) {
    user_error("{}: {} has id {} here and id {} in {}: expected one id", what, quote(token.content),
               token.id, id, what_);
  }
  if (!added_.insert(token.content).second)
    user_error("{}: duplicate added token {}: remove one", what, quote(token.content));
  spec_.added.push_back(std::move(token));
}

int32_t VocabularyBuilder::find_for_merge(std::string_view name, const MergePlace& place) const {
  const int32_t id = ids_.find(name);
  if (id < 0) {
    user_error(
        "{} needs the token {}, which is missing in {}: expected complete files of one tokenizer",
        place.text(), quote(name), what_);
  }
  return id;
}

void VocabularyBuilder::merge(std::string_view left, std::string_view right,
                              const MergePlace& place) {
  const int32_t left_id = find_for_merge(left, place), right_id = find_for_merge(right, place);
  product_.assign(left).append(right);
  const int32_t product = find_for_merge(product_, place);
  const size_t hash = SecretHash()(uint64_t{static_cast<uint32_t>(left_id)} << 32 |
                                   static_cast<uint32_t>(right_id));
  const uint32_t earlier = merges_.find(hash, [&](uint32_t index) {
    const MergeRule& rule = spec_.merges[index];
    return rule.left == left_id && rule.right == right_id;
  });
  if (earlier != IndexTable::kNone) {
    user_error("{} is a duplicate of merge {} ({} {}): remove one", place.text(),
               merge_numbers_[earlier], quote(left), quote(right));
  }
  merges_.insert(hash, static_cast<uint32_t>(spec_.merges.size()));
  merge_numbers_.push_back(place.number);
  spec_.merges.push_back({left_id, right_id, product});
}

// The same mistake of several is named each time, whatever the order of the table.
void VocabularyBuilder::refuse_ids() const {
  std::vector<std::pair<int32_t, std::string_view>> tokens;
  for (size_t i = 0; i < ids_.size(); ++i) tokens.emplace_back(ids_[i].id, ids_[i].name);
  std::sort(tokens.begin(), tokens.end());
  for (size_t i = 1; i < tokens.size(); ++i) {
    if (tokens[i].first == tokens[i - 1].first) {
      user_error("{}: {} and {} have the same id {}: expected one id per token", what_,
                 quote(tokens[i - 1].second), quote(tokens[i].second), tokens[i].first);
    }
  }
  user_error("{}: the id of {} is {} in a vocabulary of {} tokens: expected ids 0..{} without gaps",
             what_, quote(tokens.back().second), tokens.back().first, tokens.size(),
             tokens.size() - 1);
}

BpeSpec VocabularyBuilder::build() {
  const auto count = static_cast<int32_t>(ids_.size());
  std::vector<std::optional<std::string_view>> names(ids_.size());
  for (size_t i = 0; i < ids_.size(); ++i) {
    const auto [name, id] = ids_[i];
    if (id >= count || names[static_cast<size_t>(id)]) refuse_ids();
    names[static_cast<size_t>(id)] = name;
  }
  spec_.mergeable.assign(names.size(), false);
  spec_.tokens.reserve(names.size());
  for (size_t id = 0; id < names.size(); ++id) {
    std::optional<std::string> bytes = bytes_of_spelling(*names[id]);
    spec_.mergeable[id] = bytes.has_value();
    spec_.tokens.push_back(bytes ? *std::move(bytes) : std::string(*names[id]));
  }
  for (const AddedToken& token : spec_.added) {
    spec_.tokens[static_cast<size_t>(token.id)] =
        token.content;  // not spelled: it is the text itself
    spec_.mergeable[static_cast<size_t>(token.id)] = false;
  }
  for (int byte = 0; byte < 256; ++byte) {
    spec_.byte_ids[static_cast<size_t>(byte)] =
        ids_.find(spelling_of_byte(static_cast<unsigned char>(byte)));
  }
  return std::move(spec_);
}

}  // namespace vitrine::internal
