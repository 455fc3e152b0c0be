// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "vitrine/analysis/path_patching.h"

namespace vitrine {
using namespace internal;
namespace {

using Kind = PathNode::Kind;

/// The first of a kind is its name.
constexpr std::array kNames = {
    std::pair(std::string_view("embed"), Kind::kEmbedding),
    std::pair(std::string_view("head"), Kind::kHead),
    std::pair(std::string_view("mlp"), Kind::kMlp),
    std::pair(std::string_view("q"), Kind::kQuery),
    std::pair(std::string_view("k"), Kind::kKey),
    std::pair(std::string_view("v"), Kind::kValue),
    std::pair(std::string_view("final"), Kind::kFinalResidual),
    std::pair(std::string_view("h"), Kind::kHead),
    std::pair(std::string_view("m"), Kind::kMlp),
};

/// How many numbers, separated by a dot, follow the name.
int numbers_of(Kind kind) {
  return kind == Kind::kEmbedding || kind == Kind::kFinalResidual ? 0 : kind == Kind::kMlp ? 1 : 2;
}

std::optional<PathNode> parse_node(std::string_view text) {
  const size_t letters = std::min(text.find_first_of(" -0123456789."), text.size());
  const auto found = std::find_if(kNames.begin(), kNames.end(), [&](const auto& name) {
    return name.first == text.substr(0, letters);
  });
  if (found == kNames.end()) return std::nullopt;
  PathNode node{.kind = found->second};
  text.remove_prefix(letters);
  if (text.starts_with(' ')) text.remove_prefix(1);
  for (int i = 0; i < numbers_of(node.kind); ++i) {
    if (i > 0 && !text.starts_with('.')) return std::nullopt;
    if (i > 0) text.remove_prefix(1);
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), i == 0 ? node.layer : node.head);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
  return text.empty() ? std::optional(node) : std::nullopt;
}

}  // namespace

std::string PathNode::name() const {
  const auto found = std::find_if(kNames.begin(), kNames.end(),
                                  [this](const auto& entry) { return entry.second == kind; });
  switch (numbers_of(kind)) {
    case 0:
      return std::string(found->first);
    case 1:
      return fmt::format("{} {}", found->first, layer);
    default:
      return fmt::format("{} {}.{}", found->first, layer, head);
  }
}

PathNode PathNode::parse(std::string_view text) {
  if (const auto node = parse_node(text)) return *node;
  user_error(
      "unknown component {}: expected embed, head L.H, mlp L, q L.H, k L.H, v L.H or final, with "
      "L.H a layer and a head",
      quote(text));
}

}  // namespace vitrine
