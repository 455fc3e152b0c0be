// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/xxhash64.h"
#include "tokenizer/loaders.h"

namespace vitrine::internal {
namespace {

constexpr uint32_t kMagic = 20240328;
constexpr size_t kHeaderWords = 256;

// Reads the tokens: a length of one byte each, and the bytes.
std::vector<std::string> read_tokens(std::string_view contents, size_t count,
                                     const std::string& file) {
  std::vector<std::string> tokens;
  size_t at = kHeaderWords * sizeof(uint32_t);
  for (size_t id = 0; id < count; ++id) {
    const size_t length = at < contents.size() ? static_cast<unsigned char>(contents[at]) : 0;
    if (length == 0 || length > contents.size() - at - 1)
      user_error("{}: is cut short in token {} of {}; write it again with llm.c's train_gpt2.py",
                 file, id, count);
    tokens.emplace_back(contents.substr(at + 1, length));
    at += 1 + length;
  }
  return tokens;
}

/// The file lists no merges. Its tokens are in the order in which training made them, so that of
/// two pairs the one whose token has the lower id merges first; a token's own pair is what its
/// bytes become by the merges before it.
class MergeRecovery {
 public:
  explicit MergeRecovery(const std::vector<std::string>& tokens) {
    for (size_t id = 0; id < tokens.size(); ++id)
      ids_.emplace(tokens[id], static_cast<int32_t>(id));
  }

  /// The pair that makes the token, if there is one.
  bool find(const std::string& token, int32_t id, MergeRule& rule) const {
    std::vector<std::string> parts;
    for (const char byte : token) parts.emplace_back(1, byte);
    while (parts.size() > 2) {
      size_t best = parts.size();
      int32_t best_id = id;
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const int32_t product = id_of(parts[i] + parts[i + 1]);
        if (product >= 0 && product < best_id) {
          best = i;
          best_id = product;
        }
      }
      if (best == parts.size()) return false;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    if (parts.size() != 2) return false;
    rule = {id_of(parts[0]), id_of(parts[1]), id};
    return rule.left >= 0 && rule.right >= 0;
  }
  int32_t id_of(const std::string& token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? -1 : found->second;
  }

 private:
  std::unordered_map<std::string, int32_t, SecretHash> ids_;
};

}  // namespace

BpeSpec parse_llmc_vocab(std::string_view contents, const std::string& file) {
  uint32_t header[kHeaderWords] = {};
  if (contents.size() < sizeof header ||
      (std::memcpy(header, contents.data(), sizeof header), header[0] != kMagic))
    user_error("{}: is not llm.c's gpt2_tokenizer.bin: expected {} as its first number", file,
               kMagic);
  const uint32_t version = header[1], count = header[2];
  if (version != 1 && version != 2) user_error("{}: version is {}: expected 1 or 2", file, version);
  if (count == 0 || count > contents.size())
    user_error("{}: has {} tokens in {} bytes; write it again with llm.c's train_gpt2.py", file,
               count, contents.size());
  BpeSpec spec;
  spec.tokens = read_tokens(contents, count, file);
  spec.mergeable.assign(spec.tokens.size(), true);
  spec.byte_ids.fill(-1);
  // Version 1 does not say where texts end; in GPT-2's vocabulary it is the last token.
  const uint32_t end = version == 1 ? count - 1 : header[3];
  if (end >= count) user_error("{}: the end of text is token {} of {}", file, end, count);
  spec.mergeable[end] = false;
  spec.added.push_back(
      {.id = static_cast<int32_t>(end), .content = spec.tokens[end], .special = true});
  const MergeRecovery recovery(spec.tokens);
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& token = spec.tokens[id];
    MergeRule rule{};
    if (id == end) continue;
    if (token.size() == 1) {
      spec.byte_ids[static_cast<unsigned char>(token[0])] = static_cast<int32_t>(id);
    } else if (recovery.id_of(token) == static_cast<int32_t>(id) &&
               recovery.find(token, static_cast<int32_t>(id), rule)) {
      spec.merges.push_back(rule);
    }
  }
  return spec;
}

}  // namespace vitrine::internal
