// SPDX-License-Identifier: MIT
// Every kind of file that the command reads, cut off anywhere and with any bit changed: the command
// works or says in one line what is wrong. No signal ends it, and no file makes it take memory.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

const fs::path kTests = fs::path(VITRINE_SOURCE_DIR) / "tests";
constexpr long kMemory = 4L << 30;  // addresses: stacks of threads count

/// Damages `name` inside `folder` in several ways and runs the command on each.
class HostileFiles : public ::testing::Test {
 protected:
  void copy(const fs::path& from, const std::string& name) {
    fs::create_directories((folder_ / name).parent_path());
    fs::copy_file(kTests / from, folder_ / name, fs::copy_options::overwrite_existing);
  }
  void copy_model(const std::string& form = "safetensors") {
    for (const auto& entry : fs::directory_iterator(kTests / "engine" / "checkpoints" / form))
      copy(entry.path(), entry.path().filename().string());
  }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }

  void run_one(const std::string& name, const std::string& bytes, const Arguments& arguments,
               const std::string& how) {
    folder_.write(name, bytes);
    const CliResult result = run_cli(arguments, {.memory_limit = kMemory});
    if (result.status == 0) return;
    SCOPED_TRACE(fmt::format("{}, {}\n{}", name, how, result.err));
    EXPECT_TRUE(result.status == 2 || result.status == 3) << result.status;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  }

  void damage(const std::string& name, const Arguments& arguments) {
    const std::string good = read_bytes(folder_ / name);
    const CliResult sound = run_cli(arguments, {.memory_limit = kMemory});
    ASSERT_EQ(sound.status, 0) << sound.err;
    std::mt19937_64 random(11);
    constexpr size_t kCuts = 24, kFlips = 40, kHeader = 300;
    for (size_t i = 0; i < kCuts; ++i) {
      const size_t length =
          i < 8 ? std::min(i * i, good.size()) : good.size() * (i - 8) / (kCuts - 8);
      run_one(name, good.substr(0, length), arguments, fmt::format("cut at {}", length));
    }
    for (size_t i = 0; i < kFlips; ++i) {
      // Every second one where most formats have what the rest depends on; elsewhere not the
      // highest bits, which would make weights of 1e38: what is not finite has tests of its own.
      const bool header = i % 2 == 1;
      const size_t byte = random() % (header ? std::min(good.size(), kHeader) : good.size());
      std::string damaged = good;
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << random() % (header ? 8 : 4)));
      run_one(name, damaged, arguments, fmt::format("changed at {}", byte));
    }
    folder_.write(name, good);
  }

  TempFolder folder_;
};

TEST_F(HostileFiles, Checkpoints) {
  for (const auto& [form, names] : std::vector<std::pair<std::string, Arguments>>{
           {"safetensors", {"config.json", "model.safetensors"}},
           {"sharded", {"model.safetensors.index.json", "model-00001-of-00002.safetensors"}},
           {"torch", {"pytorch_model.bin"}},
           {"torch_legacy", {"pytorch_model.bin"}},
           {"torch_sharded", {"pytorch_model.bin.index.json"}}}) {
    for (const auto& entry : fs::directory_iterator(folder_.path())) fs::remove(entry.path());
    copy_model(form);
    for (const std::string& name : names)
      damage(name, {"score", "--model", folder_.path().string(), "--ids", "1,2,3"});
  }
  copy("engine/checkpoints/llmc/version3.bin", "m.bin");
  damage("m.bin", {"score", "--model", at("m.bin"), "--ids", "1,2,3"});
}

TEST_F(HostileFiles, Tokenizers) {
  copy_model();
  copy("tokenizer/tokenizer_json_seeds/tiny.json", "tokenizer.json");
  const Arguments tokenize = {"tokenize", "--model", folder_.path().string(), "--prompt", "ab abb"};
  damage("tokenizer.json", tokenize);
  fs::remove(folder_ / "tokenizer.json");
  folder_.write("vocab.json", R"({"a": 0, "b": 1, "\u0120": 2, "ab": 3, "\u0120ab": 4})");
  folder_.write("merges.txt", "#version: 0.2\na b\n\xc4\xa0 ab\n");
  folder_.write("added_tokens.json", R"({"ab": 3})");
  for (const char* name : {"vocab.json", "merges.txt", "added_tokens.json"}) damage(name, tokenize);
  for (const char* name : {"vocab.json", "merges.txt", "added_tokens.json"})
    fs::remove(folder_ / name);
  for (const char* name : {"small_char.model", "small_unigram.model", "small_spbpe.model"}) {
    copy(std::string("tokenizer/data/") + name, "tokenizer.model");
    damage("tokenizer.model", tokenize);
  }
}

TEST_F(HostileFiles, Operands) {
  copy_model();
  const std::vector<float> values = {1, 2, 3, 4};
  SafetensorsWriter::write(folder_ / "x.safetensors",
                           {{"none", TensorView(nullptr, DType::kF32, Shape{0})},
                            {"w", TensorView(values.data(), DType::kF32, Shape{4})}});
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }";
  std::string npy("\x93NUMPY\x01\x00\x76\x00", 10);
  npy += header + std::string(117 - header.size(), ' ') + '\n';
  npy.append(reinterpret_cast<const char*>(values.data()), 16);
  folder_.write("x.npy", npy);
  for (const std::string name : {"x.npy", "x.safetensors"}) {
    const std::string operand = at(name) + (name == "x.npy" ? "" : "#w");
    damage(name, {"score", "--model", folder_.path().string(), "--ids", "1,2,3", "--edit",
                  "hook_embed=add:" + operand});
  }
}

TEST_F(HostileFiles, Corpora) {
  copy_model();
  fs::create_directory(folder_ / "run");  // a state beside the weights would be taken for some
  folder_.write("c.jsonl", "{\"ids\": [1, 2, 3]}\n{\"ids\": [4, 5]}\n{\"ids\": [6]}\n");
  const std::string model = folder_.path().string(), site = "blocks.1.hook_resid_post";
  const auto covariance = [&](const std::string& state) {
    return Arguments{"covariance", at("c.jsonl"), "--model", model,
                     "--capture",  site,          "--state", state};
  };
  damage("c.jsonl", {"covariance", at("c.jsonl"), "--model", model, "--capture", site});
  ASSERT_EQ(run_cli(covariance(at("run/state.safetensors"))).status, 0);
  damage("run/state.safetensors", covariance(at("run/state.safetensors")));
  damage("run/state.safetensors", {"covariance", "--merge", at("run/state.safetensors")});

  const Arguments corpus = {"corpus", at("c.jsonl"), "--model",        model, "--capture", site,
                            "--out",  at("out"),     "--shard-tokens", "5"};
  ASSERT_EQ(run_cli(corpus).status, 0);
  const std::string rank = "out/rank-00000-of-00001/";
  damage(rank + "manifest.json", corpus);
  for (const char* name : {"manifest.json", "shard-000000.safetensors"})
    damage(rank + name, {"corpus", "--verify", "--out", at("out")});
}

TEST_F(HostileFiles, TunedLenses) {
  for (const char* name : {"config.json", "model.safetensors"})
    copy(std::string("goldens/plain/") + name, name);
  for (const char* name : {"config.json", "params.pt"})
    copy(std::string("analysis/goldens/tuned_plain/") + name, std::string("lens/") + name);
  const Arguments lens = {"lens",   "--model", folder_.path().string(), "--ids",   "1,2,3",
                          "--mode", "tuned",   "--translators",         at("lens")};
  for (const char* name : {"lens/config.json", "lens/params.pt"}) damage(name, lens);
}

TEST_F(HostileFiles, Pairs) {
  copy_model();
  folder_.write("p.jsonl",
                "{\"clean\": [1, 2], \"corrupt\": [1, 3], \"answer\": 4, \"wrong\": [5, 6]}\n"
                "{\"clean\": [4, 2], \"corrupt\": [4, 3], \"answer\": [4], \"wrong\": 5}\n");
  damage("p.jsonl", {"patch", "--model", folder_.path().string(), "--pairs", at("p.jsonl")});
}

TEST_F(HostileFiles, Tables) {
  copy_model();
  copy("tokenizer/tokenizer_json_seeds/tiny.json", "tokenizer.json");
  std::string csv = "text,group\n", lines, json, responses = "stimulus,n1,n2\nceiling,0.5,1\n";
  std::string series = "x,y,f\n";
  for (int i = 0; i < 12; ++i) {
    const std::string text = i % 3 == 0 ? "ab" : i % 3 == 1 ? "a b" : "b";
    csv += fmt::format("{},{}\n", text, i / 2);
    const std::string object = fmt::format(R"({{"text": "{}", "group": "{}"}})", text, i / 2);
    lines += object + "\n";
    json += (i == 0 ? "[" : ", ") + object;
    responses += fmt::format("s{},{},{}\n", i, i * i % 7, i * 5 % 11);
    series += fmt::format("{},{},{}\n", i, i * i % 7, 1 + i % 2);
  }
  folder_.write("s.csv", csv);
  folder_.write("s.jsonl", lines);
  folder_.write("s.json", json + "]");
  folder_.write("r.csv", responses);
  folder_.write("series.csv", series);
  folder_.write("p.jsonl", lines);
  const std::string model = folder_.path().string();
  const auto predictivity = [&](const std::string& stimuli) {
    return Arguments{"predictivity", "--model",   model,
                     "--stimuli",    at(stimuli), "--responses",
                     at("r.csv"),    "--site",    "blocks.0.hook_resid_post",
                     "--no-control", "--folds",   "3",
                     "--bootstraps", "10"};
  };
  for (const char* name : {"s.csv", "s.jsonl", "s.json"}) damage(name, predictivity(name));
  damage("r.csv", predictivity("s.csv"));
  damage("series.csv", {"covariance", "--data", at("series.csv"), "--fweights", "f"});
  damage("p.jsonl", {"tokenize", "--model", model, "--prompt-file", at("p.jsonl")});
}

}  // namespace
}  // namespace vitrine::testing
