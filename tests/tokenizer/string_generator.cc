// SPDX-License-Identifier: MIT
#include "tests/tokenizer/string_generator.h"

#include <fmt/format.h>

#include <fstream>
#include <stdexcept>

namespace vitrine::test {
namespace {

void append_utf8(uint32_t c, std::string& out) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
  }
  put(0x80 | (c & 0x3F));
}

}  // namespace

std::string data_path(const std::string& name) {
  return VITRINE_SOURCE_DIR "/tests/tokenizer/data/" + name;
}

nlohmann::json read_data(const std::string& name) {
  std::ifstream file(data_path(name));
  if (!file) throw std::runtime_error("cannot read " + data_path(name));
  return nlohmann::json::parse(file);
}

StringGenerator::StringGenerator() {
  const auto spec = read_data("strings.json");
  for (const auto& kind : spec["kinds"]) {
    Kind& k = kinds_.emplace_back(Kind{kind["weight"], kind["parts"][0], kind["parts"][1], {}});
    for (const auto& from : kind["from"]) {
      Part& part = k.parts.emplace_back(Part{{}, {}, from[1], from[2], from[3]});
      const std::string name = from[0];
      if (spec["lists"].contains(name)) {
        part.texts = spec["lists"][name].get<std::vector<std::string>>();
      } else {
        for (const auto& range : spec["pools"].at(name)) part.pool.push_back({range[0], range[1]});
      }
    }
  }
}

uint64_t StringGenerator::next() {  // splitmix64
  state_ += 0x9E3779B97F4A7C15;
  uint64_t z = state_;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

uint64_t StringGenerator::between(uint64_t first, uint64_t last) {
  return first + next() % (last - first + 1);
}

template <typename T>
const T& StringGenerator::weighted(const std::vector<T>& choices) {
  uint64_t total = 0;
  for (const T& choice : choices) total += choice.weight;
  uint64_t at = next() % total;
  for (const T& choice : choices) {
    if (at < choice.weight) return choice;
    at -= choice.weight;
  }
  throw std::logic_error("weights");
}

void StringGenerator::append_char(const std::vector<Range>& pool, std::string& out) {
  uint64_t total = 0;
  for (const Range& range : pool) total += range.last - range.first + 1;
  uint64_t at = next() % total;
  for (const Range& range : pool) {
    if (at <= range.last - range.first)
      return append_utf8(range.first + static_cast<uint32_t>(at), out);
    at -= range.last - range.first + 1;
  }
}

std::string StringGenerator::string(uint64_t number) {
  state_ = number * 0xD1342543DE82EF95;
  const Kind& kind = weighted(kinds_);
  std::string out;
  for (uint64_t parts = between(kind.least, kind.most); parts > 0; --parts) {
    const Part& part = weighted(kind.parts);
    uint64_t repeats = between(part.least, part.most);
    if (part.texts.empty()) {
      for (; repeats > 0; --repeats) append_char(part.pool, out);
    } else {
      const std::string& text = part.texts[next() % part.texts.size()];
      for (; repeats > 0; --repeats) out += text;
    }
  }
  return out;
}

void Fnv::add(std::string_view bytes) {
  for (const char byte : bytes)
    value_ = (value_ ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
}

void Fnv::add(std::span<const int32_t> ids) {
  const auto add_one = [&](uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8)
      value_ = (value_ ^ (value >> shift & 0xFF)) * 0x100000001B3;
  };
  for (const int32_t id : ids) add_one(static_cast<uint32_t>(id));
  add_one(UINT32_MAX);
}

std::string Fnv::hex() const { return fmt::format("{:016x}", value_); }

}  // namespace vitrine::test
