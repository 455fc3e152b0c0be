// SPDX-License-Identifier: MIT
#include "engine/checkpoint/prefix.h"

#include <fmt/format.h>

#include <set>

#include "base/check.h"
#include "base/quote.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

constexpr std::string_view kBody = "transformer.";  // of GPT2LMHeadModel

}  // namespace

Prefix::Prefix(const std::vector<std::string>& names, const std::string& file) {
  std::set<std::string> found;
  for (std::string_view name : names) {
    if (!name.ends_with(kTokenEmbedding)) continue;
    name.remove_suffix(std::string_view(kTokenEmbedding).size());
    if (!name.empty() && name.back() != '.') continue;
    if (name.ends_with(kBody)) name.remove_suffix(kBody.size());
    found.emplace(name);
  }
  if (found.empty() || found.contains("")) return;
  if (found.size() > 1) {
    user_error("{}: holds several models, whose names begin with {} and {}: expected one", file,
               quote(*found.begin()), quote(*std::next(found.begin())));
  }
  prefix_ = *found.begin();
}

std::string Prefix::canonical(std::string_view name) const {
  if (!name.starts_with(prefix_)) return std::string(name);
  name.remove_prefix(prefix_.size());
  if (name.starts_with(kBody)) name.remove_prefix(kBody.size());
  return std::string(name);
}

}  // namespace vitrine::internal
