// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/report/page.h"

namespace vitrine::testing {
using namespace internal;

/// A vocabulary of given bytes.
class ListTokenizer : public Tokenizer {
 public:
  explicit ListTokenizer(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}
  std::vector<int32_t> encode(std::string_view, Special) const override { return {}; }
  std::vector<Piece> encode_with_spans(std::string_view, Special) const override { return {}; }
  std::string token_bytes(int32_t id) const override { return tokens_.at(static_cast<size_t>(id)); }
  std::optional<int32_t> find_special(std::string_view) const override { return std::nullopt; }
  std::optional<int32_t> end_of_text() const override { return std::nullopt; }
  int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }
  std::string description() const override { return "a list"; }

 private:
  std::vector<std::string> tokens_;
};

/// Texts that would break out of a script, a tag or a table if anything let them.
inline std::vector<std::string> hostile_tokens() {
  return {"</script><script>throw 1</script>",
          "<!--",
          "\"quoted\"",
          "'",
          "\\",
          "\n",
          "\t",
          std::string("\0", 1),
          "\xe4",
          "\xf0\x9f",
          " the",
          "]]>",
          "&amp;",
          "\u2028",
          "日本",
          "${x}",
          "`"};
}

inline PageSource demo_source(std::vector<std::string> tokens = hostile_tokens()) {
  PageSource source{.model = "small <model>",
                    .device = "cpu",
                    .dtype = "f32",
                    .command = "vitrine lens -p '<b>&'"};
  source.config.layers = 3;
  source.config.heads = 2;
  source.config.vocab = static_cast<int64_t>(tokens.size());
  source.tokenizer = std::make_shared<ListTokenizer>(std::move(tokens));
  return source;
}

/// Numbers between 0 and 1 that look like nothing in particular, the same for the same seed.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  double next() { return static_cast<double>(mix64(state_++) >> 11) * 0x1p-53; }
  int32_t below(int64_t end) { return static_cast<int32_t>(next() * static_cast<double>(end)); }

 private:
  uint64_t state_;
};

/// A lens of any size over a vocabulary of V: shapes as lens() makes them, numbers made up.
inline Lens made_up_lens(int rows, int positions, int top_k, int watched, int32_t vocab,
                         uint64_t seed = 7) {
  Numbers numbers(seed);
  Lens lens;
  lens.top_k = top_k;
  for (int row = 0; row < rows; ++row) lens.layers.push_back(row);
  for (int p = 0; p < positions; ++p) {
    lens.ids.push_back(numbers.below(vocab));
    lens.positions.push_back(p);
    lens.targets.push_back(numbers.below(vocab));
  }
  for (int w = 0; w < watched; ++w) lens.watch.push_back(numbers.below(vocab));
  const int cells = rows * positions;
  for (int i = 0; i < cells; ++i) {
    lens.target_ranks.push_back(1 + numbers.below(vocab));
    lens.target_log_probs.push_back(std::log(numbers.next()));
    lens.entropies.push_back(numbers.next() * std::log(vocab));
    for (int k = 0; k < top_k; ++k) {
      lens.top_ids.push_back(numbers.below(vocab));
      lens.top_log_probs.push_back(std::log(numbers.next() / (k + 1)));
    }
    for (int w = 0; w < watched; ++w) {
      lens.watch_ranks.push_back(1 + numbers.below(vocab));
      lens.watch_log_probs.push_back(std::log(numbers.next()));
    }
  }
  return lens;
}

/// What stands between two marks; fails by an empty text.
inline std::string between(const std::string& text, const std::string& begin,
                           const std::string& end) {
  const size_t from = text.find(begin);
  if (from == std::string::npos) return "";
  return text.substr(from + begin.size(),
                     text.find(end, from + begin.size()) - from - begin.size());
}

/// The data of a page, as JSON.
inline Json data_of(const std::string& page) {
  return Json::parse(between(page, "<script type=\"application/json\" id=\"data\">", "</script>"));
}

inline std::string from_base64(const std::string& text) {
  std::string bytes;
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const size_t digit =
        std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
            .find(c);
    if (digit == std::string_view::npos) break;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if ((held += 6) >= 8) bytes += static_cast<char>(bits >> (held -= 8) & 255);
  }
  return bytes;
}

/// The numbers of a packed array.
/// Characters in a figure: a glyph is used by each of them.
inline size_t characters(const std::string& svg) {
  size_t count = 0;
  for (size_t at = svg.find("<use "); at != std::string::npos; at = svg.find("<use ", at + 1))
    ++count;
  return count;
}

inline std::vector<double> unpacked(const Json& array) {
  const std::string bytes = from_base64(array["data"]), type = array["type"];
  std::vector<double> numbers;
  const auto read = [&]<typename T>(T value) {
    for (size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
      std::memcpy(&value, bytes.data() + at, sizeof(T));
      numbers.push_back(static_cast<double>(value));
    }
  };
  if (type == "f32")
    read(float{});
  else if (type == "u16")
    read(uint16_t{});
  else if (type == "i32")
    read(int32_t{});
  return numbers;
}

}  // namespace vitrine::testing
