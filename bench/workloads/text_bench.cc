// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "base/random.h"
#include "base/text_file.h"
#include "bench/measure/checks.h"
#include "bench/measure/turns.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// Whether a token is a word of ASCII letters with a space before it.
bool is_word(const std::string& bytes) {
  if (bytes.size() < 2 || bytes[0] != ' ') return false;
  return std::all_of(bytes.begin() + 1, bytes.end(),
                     [](unsigned char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; });
}

/// A million bytes of the vocabulary's own words, the k-th about as often as 1 / k, in sentences
/// and lines.
std::string text_of(const Tokenizer& tokenizer) {
  constexpr size_t kBytes = 1'000'000;
  std::vector<std::string> words;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    std::string bytes = tokenizer.token_bytes(id);
    if (is_word(bytes)) words.push_back(std::move(bytes));
  }
  if (words.empty())
    user_error(
        "missing token of a word with a leading space, to generate a text; pass one with --text");
  std::string text;
  for (uint64_t i = 0; text.size() < kBytes; ++i) {
    const double drawn =
        std::pow(static_cast<double>(words.size()), unit_interval(mix64(mix64(8) + i))) - 1;
    text += words[std::min(static_cast<size_t>(drawn), words.size() - 1)];
    if (i % 11 == 10) text += i % 77 == 76 ? ".\n" : i % 2 ? "," : ".";
  }
  return text;
}

/// The model's own, or the demo's for weights that have none.
std::shared_ptr<const Tokenizer> tokenizer_of(const Model& model) {
  if (auto own = model.shared_tokenizer()) return own;
  return Tokenizer::load(Model::locate("demo"));
}

Row row_of(const Bench& bench, const std::string& shape) {
  Row row = bench.row("tokenizer", shape);
  row.dtype.clear();  // no weights
  row.device = "cpu";
  row.threads = 1;
  return row;
}

void bench_tokenizer(const Bench& bench) {
  bench.step("tokenizer");
  Row encode = row_of(bench, "encode"), decode = row_of(bench, "decode");
  std::shared_ptr<const Tokenizer> tokenizer;
  try {
    tokenizer = tokenizer_of(bench.model);
  } catch (const Error& error) {
    encode.note = error.what();  // neither the model nor the machine has one
    return bench.on_row(std::move(encode));
  }
  std::string text =
      bench.options.text.empty() ? text_of(*tokenizer) : read_text(bench.options.text);
  const std::vector<int32_t> ids = tokenizer->encode(text);
  std::string back = tokenizer->decode(ids);
  if (tokenizer->description().starts_with(
          "SentencePiece")) {  // which normalises a text once, and then no more
    text = std::move(back);
    back = tokenizer->decode(tokenizer->encode(text));
  }
  require(back == text, "decoded tokens are the text that was encoded");
  const double bytes = static_cast<double>(text.size());
  for (Row* row : {&encode, &decode}) {
    row->shape += fmt::format(" {:.3g} MB", bytes * 1e-6);
    row->unit = "MB/s";
    row->amount = bytes * 1e-6;
    row->floor = bytes / bench.best().bytes;
    row->note = tokenizer->description();
  }
  measure_alone(bench, std::move(encode), "tokenizer, encode", [&] { tokenizer->encode(text); });
  measure_alone(bench, std::move(decode), "tokenizer, decode", [&] { tokenizer->decode(ids); });
}

}  // namespace

Cases tokenizer_cases(const BenchOptions&) { return {{.turns = 2, .measure = bench_tokenizer}}; }

}  // namespace vitrine::bench
