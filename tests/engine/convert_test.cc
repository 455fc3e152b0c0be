// SPDX-License-Identifier: MIT
// convert_checkpoint(): the same elements, in the form that transformers saves.

#include "vitrine/checkpoint/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "tests/base/test_files.h"
#include "tests/engine/checkpoint_golden.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine {
using namespace internal;
using namespace testing::checkpoint_golden;
namespace {

using testing::error_of;
using testing::says;
using testing::TempFolder;
namespace fs = std::filesystem;

const std::string kSaved = VITRINE_SOURCE_DIR "/tests/goldens/";  // by transformers itself

/// Each tensor of the tiny model is there once, by transformers' name, with its elements.
void expect_saved_golden(const std::vector<fs::path>& files) {
  constexpr std::string_view kPrefix = "transformer.";
  std::set<std::string> seen;
  for (const fs::path& path : files) {
    const SafetensorsFile file(path);
    EXPECT_EQ(file.metadata().at("format"), "pt");
    for (const std::string& name : file.names()) {
      ASSERT_TRUE(name.starts_with(kPrefix)) << name;
      const std::string plain = name.substr(kPrefix.size());
      EXPECT_TRUE(seen.insert(plain).second) << plain;
      const std::vector<float> values = file.tensor(name).to_f32();
      for (size_t k = 0; k < values.size(); ++k)
        ASSERT_EQ(values[k], golden(plain, static_cast<int64_t>(k))) << plain << " " << k;
    }
  }
  EXPECT_EQ(seen.size(), 4u + 12 * kLayers);
}

TEST(Convert, EveryFormBecomesTheSameModel) {
  for (const char* form : {"safetensors", "sharded", "mixed", "odd_offset", "f64", "torch",
                           "torch_legacy", "torch_sharded", "lightning", "nanogpt",
                           "nanogpt/ckpt.pt", "llmc/version3.bin", "llmc/version5.bin"}) {
    SCOPED_TRACE(form);
    const TempFolder folder;
    const auto made = convert_checkpoint(kGoldens + form, folder / "out");
    EXPECT_EQ(made.files, (std::vector<std::string>{"config.json", "model.safetensors"}));
    expect_saved_golden({folder / "out" / "model.safetensors"});
    const Checkpoint before = Checkpoint::open(kGoldens + form);
    const Checkpoint after = Checkpoint::open(folder / "out");
    EXPECT_EQ(after.config().inner, before.config().inner);
    EXPECT_EQ(after.config().activation, before.config().activation);
    EXPECT_EQ(after.report().warning, "");
  }
}

TEST(Convert, BiasesThatAreLeftOutAreWrittenAsZeros) {
  const TempFolder folder;
  convert_checkpoint(kGoldens + "nanogpt_no_bias", folder / "out");
  const SafetensorsFile file(folder / "out" / "model.safetensors");
  EXPECT_EQ(file.tensor("transformer.h.1.ln_2.bias").to_f32(), std::vector<float>(kWidth));
}

TEST(Convert, WithoutAnotherDtypeTheBitsAreThoseThatTransformersSaved) {
  for (const char* name : {"plain", "untied", "stored_f16", "stored_bf16", "inverse_layer_scale"}) {
    const fs::path source = kSaved + name;
    SCOPED_TRACE(name);
    const TempFolder folder;
    convert_checkpoint(source, folder / "out");
    const SafetensorsFile before(source / "model.safetensors");
    const SafetensorsFile after(folder / "out" / "model.safetensors");
    EXPECT_EQ(std::set(before.names().begin(), before.names().end()),
              std::set(after.names().begin(), after.names().end()));
    for (const std::string& tensor : before.names()) {
      const TensorView one = before.tensor(tensor), other = after.tensor(tensor);
      ASSERT_EQ(one.dtype(), other.dtype()) << tensor;
      ASSERT_EQ(one.shape(), other.shape()) << tensor;
      EXPECT_EQ(std::memcmp(one.data(), other.data(), one.bytes()), 0) << tensor;
    }
    EXPECT_EQ(testing::read_bytes(folder / "out" / "generation_config.json"),
              testing::read_bytes(source / "generation_config.json"));
    const Json was = read_json(source / "config.json"),
               is = read_json(folder / "out" / "config.json");
    for (const char* field :
         {"n_layer", "n_head", "n_embd", "n_positions", "vocab_size", "n_inner",
          "activation_function", "layer_norm_epsilon", "tie_word_embeddings", "scale_attn_weights",
          "scale_attn_by_inverse_layer_idx", "bos_token_id", "eos_token_id"}) {
      if (!was.contains(field)) continue;
      EXPECT_EQ(is[field], was[field]) << field;
    }
  }
}

TEST(Convert, ShardsAreNoLargerThanRequested) {
  const TempFolder folder;
  const auto made = convert_checkpoint(kGoldens + "torch", folder / "out", {.shard_bytes = 300});
  std::vector<fs::path> shards;
  for (const std::string& name : made.files) {
    if (!name.ends_with(".safetensors")) continue;
    shards.push_back(folder / "out" / name);
    const SafetensorsFile file(shards.back());
    size_t bytes = 0;
    for (const std::string& tensor : file.names()) bytes += file.tensor(tensor).bytes();
    EXPECT_TRUE(bytes <= 300 || file.names().size() == 1) << name << " has " << bytes;
  }
  EXPECT_GT(shards.size(), 3u);
  EXPECT_TRUE(shards.back().string().ends_with("-of-0000" + std::to_string(shards.size()) +
                                               ".safetensors"));
  expect_saved_golden(shards);
  const Json index = read_json(folder / "out" / "model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_size"], made.bytes);
  EXPECT_EQ(index["weight_map"].size(), 4u + 12 * kLayers);
  expect_golden(Checkpoint::open(folder / "out"));
}

TEST(Convert, AnotherDtypeRoundsEachElementOnce) {
  const TempFolder folder;
  const fs::path source = kSaved + "plain";
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const fs::path out = folder / std::string(dtype_name(dtype));
    EXPECT_EQ(convert_checkpoint(source, out, {.dtype = dtype}).dtype, dtype);
    const SafetensorsFile before(source / "model.safetensors"), after(out / "model.safetensors");
    // Half a unit in the last place: 11 bits of f16, 8 of bf16; f16's smallest is 2^-24.
    const float relative = dtype == DType::kF16 ? 0x1p-11f : 0x1p-8f;
    for (const std::string& name : before.names()) {
      const std::vector<float> was = before.tensor(name).to_f32(), is = after.tensor(name).to_f32();
      EXPECT_EQ(after.tensor(name).dtype(), dtype);
      for (size_t i = 0; i < was.size(); ++i)
        ASSERT_LE(std::abs(is[i] - was[i]), relative * std::abs(was[i]) + 0x1p-25f)
            << name << " " << i;
    }
  }
}

TEST(Convert, WhatTheDtypeCannotHoldIsNamed) {
  const TempFolder folder;
  fs::create_directory(folder / "large");
  fs::copy(kGoldens + "safetensors/config.json", folder / "large");
  const SafetensorsFile golden_file(kGoldens + "safetensors/model.safetensors");
  std::vector<Tensor> tensors;
  std::vector<std::pair<std::string, TensorView>> named;
  for (const std::string& name : golden_file.names()) {
    const TensorView view = golden_file.tensor(name);
    tensors.push_back(Tensor::from(view.to_f32(), view.shape()));
    if (name.ends_with("h.1.mlp.c_fc.weight")) tensors.back().f32()[kInner + 2] = 1e5f;
  }
  for (size_t i = 0; i < tensors.size(); ++i)
    named.emplace_back(golden_file.names()[i], tensors[i].view());
  SafetensorsWriter::write(folder / "large" / "model.safetensors", named);
  EXPECT_TRUE(says(error_of([&] {
                     convert_checkpoint(folder / "large", folder / "out", {.dtype = DType::kF16});
                   }),
                   "element [1, 2] of tensor 'h.1.mlp.c_fc.weight' is 100000", "f16 cannot hold"));
  EXPECT_EQ(folder.count(), 1u);
  convert_checkpoint(folder / "large", folder / "out", {.dtype = DType::kBF16});
}

TEST(Convert, OneFileHoldsTheWeightsAlone) {
  const TempFolder folder;
  const fs::path file = folder / "one.safetensors";
  EXPECT_EQ(convert_checkpoint(kGoldens + "torch", file).files,
            std::vector<std::string>{"one.safetensors"});
  EXPECT_EQ(folder.count(), 1u);
  expect_saved_golden({file});
  EXPECT_TRUE(
      says(error_of([&] { convert_checkpoint(kGoldens + "torch", file); }), "exists", "`force`"));
  convert_checkpoint(kGoldens + "torch", file, {.force = true});
}

TEST(Convert, WhatIsThereIsReplacedByNameAndWhole) {
  const TempFolder folder;
  const fs::path out = folder / "out";
  convert_checkpoint(kGoldens + "torch", out, {.shard_bytes = 300});
  EXPECT_TRUE(says(error_of([&] { convert_checkpoint(kGoldens + "torch", out); }), "not empty"));
  convert_checkpoint(out, out, {.force = true});  // in its own place
  EXPECT_FALSE(fs::exists(out / "model.safetensors.index.json"));
  expect_saved_golden({out / "model.safetensors"});
  folder.write("out/notes.txt", "mine");
  EXPECT_TRUE(says(error_of([&] { convert_checkpoint(kGoldens + "torch", out, {.force = true}); }),
                   "contains 'notes.txt'"));
  EXPECT_EQ(testing::read_bytes(out / "notes.txt"), "mine");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(Convert, StoppedItLeavesNothing) {
  const TempFolder folder;
  int tensors = 0;
  const auto made = convert_checkpoint(kGoldens + "torch", folder / "out",
                                       {.keep_going = [&] { return ++tensors < 5; }});
  EXPECT_TRUE(made.files.empty());
  EXPECT_EQ(folder.count(), 0u);
}

}  // namespace
}  // namespace vitrine
