// SPDX-License-Identifier: MIT
// Files of torch that say to be more than they have bytes for: what is read of them must not take
// memory or time that their size does not justify.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/safe_pickle.h"
#include "engine/parameters.h"
#include "tests/base/test_files.h"
#include "vitrine/checkpoint/torch_file.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::as_bytes;
using testing::error_of;
using testing::says;
using testing::TempFolder;

std::string little(uint64_t value, size_t bytes) {
  return std::string(reinterpret_cast<const char*>(&value), bytes);
}
std::string text(const std::string& value) { return "X" + little(value.size(), 4) + value; }
std::string integer(int64_t value) { return "\x8a\x08" + little(static_cast<uint64_t>(value), 8); }
std::string tuple(const std::vector<int64_t>& values) {
  std::string all = "(";
  for (const int64_t value : values) all += integer(value);
  return all + "t";
}
std::string storage(const std::string& key, int64_t elements) {
  return "(" + text("storage") + "ctorch\nFloatStorage\n" + text(key) + text("cpu") +
         integer(elements) + "tQ";
}
std::string tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& sizes,
                   const std::vector<int64_t>& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset) + tuple(sizes) +
         tuple(strides) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}
std::string pickle(const std::string& body) { return "\x80\x02" + body + "."; }

/// A file as torch wrote it before 1.6, with one storage "0" of `elements` elements, all 0.5.
/// `items` are the names and tensors of the state_dict.
std::string torch_file(const std::string& items, int64_t elements) {
  std::string file("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.",
                   21);
  file += pickle("}") + pickle("}(" + items + "u") + pickle("](" + text("0") + "e");
  file += little(static_cast<uint64_t>(elements), 8);
  for (int64_t i = 0; i < elements; ++i) file += little(0x3f000000, 4);
  return file;
}

std::string load_error(const std::string& file) {
  const TempFolder folder;
  return error_of([&] { (void)load_torch_tensors(folder.write("params.pt", file)); });
}

std::string pickle_error(const std::string& body) {
  const std::string bytes = pickle(body);
  return error_of([&] { const Pickle read(as_bytes(bytes), "p"); });
}

TEST(HostileTorch, TheFilesOfThisTestAreSound) {
  const TempFolder folder;
  const auto tensors = load_torch_tensors(folder.write(
      "params.pt", torch_file(text("a") + tensor(storage("0", 6), 2, {2, 2}, {1, 2}), 6)));
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors.at("a").shape(), (Shape{2, 2}));
  EXPECT_EQ(tensors.at("a").f32()[3], 0.5f);
}

TEST(HostileTorch, AStrideOfZeroMakesNoElements) {
  const std::string huge = tensor(storage("0", 1), 0, {1 << 20, 1 << 20}, {0, 0});
  EXPECT_TRUE(says(load_error(torch_file(text("a") + huge, 1)), "tensor 'a'",
                   "1099511627776 elements of shape [1048576, 1048576] share 4 bytes",
                   ".contiguous()"));
}

TEST(HostileTorch, ManyViewsOfOneStorageAreRefused) {
  const auto views = [](int count) {
    std::string items = text("v0") + tensor(storage("0", 1000), 0, {1000}, {1}) + "q\x01";
    for (int i = 1; i < count; ++i) items += text("v" + std::to_string(i)) + "h\x01";
    return torch_file(items, 1000);
  };
  EXPECT_EQ(load_error(views(2)), "(no error)") << "tied weights";
  EXPECT_TRUE(
      says(load_error(views(2000)), "share those of a file", "at most 64 times", ".clone()"));
}

/// A model whose parameters are all views of one storage.
std::string model_error(const std::vector<int64_t>& table_strides) {
  const TempFolder folder;
  folder.write("config.json",
               R"({"model_type":"gpt2","n_layer":1,"n_head":1,"n_embd":2,"n_inner":2,)"
               R"("vocab_size":3,"n_positions":2})");
  Config config;
  config.layers = config.heads = 1;
  config.width = config.inner = config.context = 2;
  config.vocab = 3;
  std::string items;
  for_each_parameter(config, [&](const Parameter& parameter) {
    const auto sizes = parameter.shape.sizes();
    const bool table = parameter.name == kTokenEmbedding;
    items += text(parameter.name) + tensor(storage("0", 12), 0, {sizes.begin(), sizes.end()},
                                           table              ? table_strides
                                           : sizes.size() < 2 ? std::vector<int64_t>{1}
                                                              : std::vector<int64_t>{sizes[1], 1});
  });
  folder.write("pytorch_model.bin", torch_file(items, 12));
  return error_of([&] { (void)Checkpoint::open(folder.path()); });
}

TEST(HostileTorch, AParameterHasItsOwnElements) {
  EXPECT_EQ(model_error({2, 1}), "(no error)");
  EXPECT_EQ(model_error({4, 2}), "(no error)") << "every second element";
  EXPECT_TRUE(
      says(model_error({0, 1}), "'wte.weight'", "6 elements of shape [3, 2] share 8 bytes"));
}

// A million uses of a text of a megabyte would take a terabyte, if each had a copy.
TEST(HostileTorch, ALongTextMayNotBeUsedAgainAndAgain) {
  const std::string key = text(std::string(1 << 20, 'k')) + "q\x01";
  std::string items = key + "N";
  for (int i = 0; i < 1000; ++i) items += "h\x01N";
  items += text("t") + tensor(storage("0", 1), 0, {1}, {1});
  EXPECT_TRUE(says(load_error(torch_file(items, 1)), "duplicate tensor 'kkk"));
  EXPECT_TRUE(
      says(pickle_error(storage(std::string(300, 'k'), 1)), "the name of a storage has 300"));
}

TEST(HostileTorch, ATensorHasFewAxes) {
  const std::vector<int64_t> many(65, 1);
  EXPECT_TRUE(
      says(pickle_error(tensor(storage("0", 1), 0, many, many)), "65 axes: expected at most 64"));
}

TEST(HostileTorch, APickleHasFewValues) {
  EXPECT_TRUE(says(pickle_error(std::string(2'000'000, 'N')), "too many values for a model"));
  EXPECT_TRUE(says(pickle_error(std::string(1'000'000, '(')), "invalid pop from an empty stack"));
}

}  // namespace
}  // namespace vitrine
