// SPDX-License-Identifier: MIT
// How fast text becomes tokens and back, in bytes of text a second, on one thread.
// The environment's VITRINE_TEST_DATA names a folder with gpt2-tokenizer/ and
// corpus/children.txt.xz.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/tokenizer.h"

namespace {

namespace fs = std::filesystem;

fs::path test_data() {
  const char* folder = std::getenv("VITRINE_TEST_DATA");
  return folder ? fs::path(folder) : fs::path();
}

const vitrine::Tokenizer& gpt2() {
  static const auto tokenizer = vitrine::Tokenizer::load(test_data() / "gpt2-tokenizer");
  return *tokenizer;
}

const std::string& corpus() {
  static const std::string text = [] {
    std::string all;
    const std::string command =
        "xz -dc '" + (test_data() / "corpus/children.txt.xz").string() + "'";
    FILE* pipe = popen(command.c_str(), "r");
    std::vector<char> buffer(1 << 20);
    while (const size_t count = pipe ? std::fread(buffer.data(), 1, buffer.size(), pipe) : 0)
      all.append(buffer.data(), count);
    if (pipe) pclose(pipe);
    return all;
  }();
  return text;
}

bool skip_without_data(benchmark::State& state) {
  if (!test_data().empty() && !corpus().empty()) return false;
  state.SkipWithError(
      "set VITRINE_TEST_DATA to a folder with gpt2-tokenizer/ and corpus/children.txt.xz");
  return true;
}

void count_bytes(benchmark::State& state, size_t bytes_each) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(bytes_each));
}

void encode_corpus(benchmark::State& state) {
  if (skip_without_data(state)) return;
  for (auto _ : state) benchmark::DoNotOptimize(gpt2().encode(corpus()));
  count_bytes(state, corpus().size());
}
BENCHMARK(encode_corpus)->Unit(benchmark::kMillisecond)->MinTime(2);

// Slices from all over the corpus, 16 MB together: no slice profits from what was just read.
void encode_slices(benchmark::State& state) {
  if (skip_without_data(state)) return;
  const auto size = static_cast<size_t>(state.range(0));
  std::mt19937_64 random(1);
  std::vector<std::string_view> slices((16u << 20) / size);
  for (auto& slice : slices)
    slice = std::string_view(corpus()).substr(random() % (corpus().size() - size), size);
  for (auto _ : state) {
    for (const auto slice : slices) benchmark::DoNotOptimize(gpt2().encode(slice));
  }
  count_bytes(state, slices.size() * size);
}
BENCHMARK(encode_slices)->Unit(benchmark::kMillisecond)->Arg(64)->Arg(1024)->Arg(65536);

// Documents of 4 KB, on so many threads.
void encode_documents(benchmark::State& state) {
  if (skip_without_data(state)) return;
  std::vector<std::string_view> documents;
  for (size_t at = 0; at < corpus().size(); at += 4096)
    documents.push_back(std::string_view(corpus()).substr(at, 4096));
  for (auto _ : state)
    benchmark::DoNotOptimize(gpt2().encode_all(documents, static_cast<int>(state.range(0))));
  count_bytes(state, corpus().size());
}
BENCHMARK(encode_documents)->Unit(benchmark::kMillisecond)->Arg(1)->Arg(2)->Arg(0)->UseRealTime();

void encode_with_spans(benchmark::State& state) {
  if (skip_without_data(state)) return;
  for (auto _ : state) benchmark::DoNotOptimize(gpt2().encode_with_spans(corpus()));
  count_bytes(state, corpus().size());
}
BENCHMARK(encode_with_spans)->Unit(benchmark::kMillisecond);

void decode_corpus(benchmark::State& state) {
  if (skip_without_data(state)) return;
  const auto ids = gpt2().encode(corpus());
  for (auto _ : state) benchmark::DoNotOptimize(gpt2().decode(ids));
  count_bytes(state, corpus().size());
}
BENCHMARK(decode_corpus)->Unit(benchmark::kMillisecond);

// One word of a megabyte, which no cache helps and merging must not take quadratic time for.
void encode_one_letter(benchmark::State& state) {
  if (skip_without_data(state)) return;
  const std::string text(static_cast<size_t>(state.range(0)), 'a');
  for (auto _ : state) benchmark::DoNotOptimize(gpt2().encode(text));
  count_bytes(state, text.size());
}
BENCHMARK(encode_one_letter)->Unit(benchmark::kMillisecond)->Arg(1 << 16)->Arg(1 << 20);

}  // namespace

BENCHMARK_MAIN();
