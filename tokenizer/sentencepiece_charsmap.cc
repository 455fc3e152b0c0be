// SPDX-License-Identifier: MIT
#include "tokenizer/sentencepiece_charsmap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/check.h"

namespace vitrine::internal {
namespace {

// The matches of one lookup that the library has room for on its stack.
constexpr int kMaxMatches = 32;

// Bytes of a normalised string. Unicode's longest has 33; one of the file's own length would turn
// each character of a text into as many.
constexpr size_t kMaxString = 256;

// A trie as darts-clone lays it out. The children of a node lie in one block of 256 units: a child
// is where the node's offset, exclusive-ored with the child's label, says. A unit's value is where
// the offset says, without a label.
class Trie {
 public:
  Trie(std::string_view bytes, std::string_view strings)
      : units_(bytes.size() / sizeof(uint32_t)), strings_(strings) {
    std::memcpy(units_.data(), bytes.data(), units_.size() * sizeof(uint32_t));
    link_siblings();
  }

  /// What is wrong with the nodes that a lookup can reach; empty if nothing is.
  std::string problem();

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr int8_t kUnseen = -1, kOpen = -2;

  // A value has its highest bit set, which is part of its label: no byte of a text leads there.
  static bool is_value(uint32_t unit) { return unit >> 31 != 0; }
  static bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }
  static uint64_t offset(uint32_t unit) { return uint64_t{unit >> 10} << ((unit & 1u << 9) >> 6); }
  uint64_t children(uint32_t node) const { return node ^ offset(units_[node]); }

  void link_siblings();
  std::string enter(uint32_t node);

  struct Visit {
    uint32_t node, next_child;
    int matches;  // the most on a way down from here, so far
  };

  std::vector<uint32_t> units_;
  std::string_view strings_;
  std::vector<uint32_t> first_child_,
      next_sibling_;  // by the unit that the children's label is exclusive-ored with; by child
  std::vector<int8_t> matches_;  // by node: what Visit::matches came to
  std::vector<Visit> open_;      // the way from the root
};

void Trie::link_siblings() {
  first_child_.assign(units_.size(), kNone);
  next_sibling_.assign(units_.size(), kNone);
  for (uint32_t child = 0; child < units_.size(); ++child) {
    const uint32_t parent = child ^ (units_[child] & 0xFF);
    if (is_value(units_[child]) || parent >= units_.size()) continue;
    next_sibling_[child] = first_child_[parent];
    first_child_[parent] = child;
  }
}

std::string Trie::enter(uint32_t node) {
  const uint64_t at = children(node);
  if ((at | 0xFF) >= units_.size()) {
    return fmt::format("unit {} leads to unit {}, expected at most {}", node, at | 0xFF,
                       units_.size() - 1);
  }
  const bool value = has_value(units_[node]);
  if (const uint32_t string = units_[at] & 0x7FFFFFFF; value) {
    if (string >= strings_.size()) {
      return fmt::format("unit {} has the string at {}, expected at most {}", node, string,
                         strings_.size() - 1);
    }
    if (strings_.substr(string, kMaxString + 1).find('\0') == std::string_view::npos)
      return fmt::format("the string at {} has more than {} bytes", string, kMaxString);
  }
  matches_[node] = kOpen;
  open_.push_back({node, first_child_[at], value});
  return "";
}

std::string Trie::problem() {
  matches_.assign(units_.size(), kUnseen);
  if (std::string wrong = enter(0); !wrong.empty()) return wrong;
  while (!open_.empty()) {
    Visit& visit = open_.back();
    const bool value = has_value(units_[visit.node]);
    if (visit.next_child == kNone) {
      if (visit.matches > kMaxMatches)
        return fmt::format("one text has {} matches, expected at most {}", visit.matches,
                           kMaxMatches);
      const int matches = visit.matches;
      matches_[visit.node] = static_cast<int8_t>(matches);
      open_.pop_back();
      if (open_.empty()) break;
      Visit& parent = open_.back();
      parent.matches = std::max(parent.matches, matches + has_value(units_[parent.node]));
      continue;
    }
    const uint32_t child = visit.next_child;
    visit.next_child = next_sibling_[child];
    if (matches_[child] == kOpen)
      return fmt::format("unit {} leads back to unit {}", visit.node, child);
    if (matches_[child] != kUnseen) {
      visit.matches = std::max(visit.matches, matches_[child] + value);
    } else if (std::string wrong = enter(child); !wrong.empty()) {
      return wrong;
    }
  }
  return "";
}

// The table is four bytes of size, that many bytes of trie, and the normalised strings, each ended
// by a zero.
std::string problem_of(std::string_view table) {
  uint32_t size = 0;
  if (table.size() <= sizeof size)
    return fmt::format("it has {} bytes, expected more than {}", table.size(), sizeof size);
  std::memcpy(&size, table.data(), sizeof size);
  table.remove_prefix(sizeof size);
  if (size == 0 || size % sizeof(uint32_t) != 0 || size >= table.size()) {
    return fmt::format("its trie has {} bytes, expected a multiple of 4 below {}", size,
                       table.size());
  }
  if (table.back() != '\0') return "its last string has no end";
  return Trie(table.substr(0, size), table.substr(size)).problem();
}

}  // namespace

void check_charsmap(std::string_view table, const std::string& file) {
  if (const std::string problem = problem_of(table); !problem.empty()) {
    user_error("{}: invalid table of normalisations: {}; fetch the file again", file, problem);
  }
}

}  // namespace vitrine::internal
