// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::test {

/// This folder's data/.
std::string data_path(const std::string& name);
/// A JSON file in data/.
nlohmann::json read_data(const std::string& name);

/// Generated strings: each is a function of its number alone. tools/make_tokenizer_goldens.py has
/// the same in Python; both read data/strings.json.
class StringGenerator {
 public:
  StringGenerator();
  std::string string(uint64_t number);

 private:
  struct Range {
    uint32_t first, last;
  };
  struct Part {
    std::vector<Range> pool;         // either this
    std::vector<std::string> texts;  // or these
    uint64_t weight, least, most;
  };
  struct Kind {
    uint64_t weight, least, most;
    std::vector<Part> parts;
  };

  uint64_t next();
  uint64_t between(uint64_t first, uint64_t last);
  template <typename T>
  const T& weighted(const std::vector<T>& choices);
  void append_char(const std::vector<Range>& pool, std::string& out);

  uint64_t state_ = 0;
  std::vector<Kind> kinds_;
};

/// 64-bit FNV-1a.
class Fnv {
 public:
  void add(std::string_view bytes);
  /// The ids and an end mark, four bytes each, the lowest first.
  void add(std::span<const int32_t> ids);
  std::string hex() const;

 private:
  uint64_t value_ = 0xCBF29CE484222325;
};

}  // namespace vitrine::test
