// SPDX-License-Identifier: MIT
// Whatever is wrong gets one line on stderr that names it, exit status 2, nothing on stdout and no
// file.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

/// Lines of stderr that are no warning.
int64_t refusals(const std::string& err) {
  int64_t found = 0;
  std::istringstream lines(err);
  for (std::string line; std::getline(lines, line);)
    found += !line.starts_with("vitrine: warning: ");
  return found;
}

void expect_refused(const std::vector<std::string>& arguments,
                    const std::vector<std::string>& words, const CliOptions& options = {}) {
  const CliResult result = run_cli(arguments, options);
  SCOPED_TRACE(Json(arguments).dump() + "\n" + result.err);
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(result.err.starts_with("vitrine: "));
  EXPECT_EQ(refusals(result.err), 1);
  EXPECT_TRUE(result.err.ends_with('\n'));
  for (const std::string& word : words) EXPECT_NE(result.err.find(word), std::string::npos) << word;
}

TEST(BadArithmetic, Bf16ExpectsNarrowWeightsOnACpu) {
  const std::string model = std::string(VITRINE_SOURCE_DIR) + "/tests/goldens/plain";
  const auto score = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"score", "--model", model, "--ids", "1,2,3", "--arithmetic"});
    return more;
  };
  expect_refused(score({"bf16"}),
                 {"invalid --arithmetic bf16", "stored as f32", "bf16 or int8 (--dtype)"});
  expect_refused(score({"bf16", "--device", "cuda"}), {"--arithmetic", "--device cuda"});
  expect_refused(score({"fast"}), {"--arithmetic", "fast", "exact", "bf16"});
  const CliResult done = run_cli(score({"bf16", "--dtype", "bf16", "--json"}));
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_NE(done.out.find("bf16 arithmetic by "), std::string::npos);
}

/// A copy of a small checkpoint without a tokenizer, to be spoilt.
class BadModel : public ::testing::Test {
 protected:
  BadModel() {
    for (const char* name : {"config.json", "model.safetensors"}) {
      fs::copy_file(fs::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / "plain" / name,
                    folder_ / name);
    }
  }
  /// Runs the spoilt model.
  void refused(const std::vector<std::string>& words) {
    expect_refused({"score", "--model", folder_.path().string(), "--ids", "1,2,3"}, words);
  }

  std::string weights() const { return read_bytes(folder_ / "model.safetensors"); }
  void set_weights(const std::string& bytes) { folder_.write("model.safetensors", bytes); }
  void set_header(const std::function<void(Json&)>& change) {
    const std::string bytes = weights();
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    Json header = Json::parse(bytes.substr(8, length));
    change(header);
    const std::string text = header.dump();
    const uint64_t new_length = text.size();
    set_weights(std::string(reinterpret_cast<const char*>(&new_length), 8) + text +
                bytes.substr(8 + length));
  }
  void set_config(const char* field, const Json& value) {
    Json config = read_json(folder_ / "config.json");
    config[field] = value;
    folder_.write("config.json", config.dump());
  }

  TempFolder folder_;
  static constexpr const char* kTensor = "transformer.h.1.mlp.c_fc.weight";
};

TEST_F(BadModel, Truncated) {
  set_weights(weights().substr(0, 100000));
  refused({"model.safetensors"});
  set_weights(weights().substr(0, 5));
  refused({"model.safetensors"});
  set_weights("");
  refused({"model.safetensors"});
}

TEST_F(BadModel, Overlapping) {
  set_header([](Json& header) {
    header[kTensor]["data_offsets"] = header["transformer.h.0.mlp.c_fc.weight"]["data_offsets"];
  });
  refused({"model.safetensors", "c_fc.weight"});
}

TEST_F(BadModel, Overflowing) {
  set_header([](Json& header) { header[kTensor]["shape"] = {int64_t{1} << 62, 16}; });
  refused({"model.safetensors", kTensor});
  set_header([](Json& header) { header[kTensor]["data_offsets"][1] = 0xffffffffffffffffu; });
  refused({"model.safetensors"});
}

TEST_F(BadModel, WronglyTyped) {
  set_header([](Json& header) { header[kTensor]["shape"] = "big"; });
  refused({"model.safetensors", kTensor});
  set_header([](Json& header) { header[kTensor]["dtype"] = "F12"; });
  refused({"model.safetensors"});
}

TEST_F(BadModel, HeaderIsNoJson) {
  std::string bytes = weights();
  bytes[8] = '[';
  set_weights(bytes);
  refused({"model.safetensors"});
}

TEST_F(BadModel, MissingTensor) {
  set_header([](Json& header) {
    header["extra"] = header[kTensor];
    header.erase(kTensor);
  });
  refused({"h.1.mlp.c_fc.weight"});
}

TEST_F(BadModel, WrongShape) {
  set_header(
      [](Json& header) { std::swap(header[kTensor]["shape"][0], header[kTensor]["shape"][1]); });
  refused({"h.1.mlp.c_fc.weight", "[128, 32]", "[32, 128]"});
}

TEST_F(BadModel, NotANumber) {
  std::string bytes = weights();
  const uint32_t nan = 0x7fc00000;
  std::memcpy(bytes.data() + bytes.size() - 400, &nan, 4);
  set_weights(bytes);
  refused({"row 127 is NaN", "logits is NaN at position 0 (element 127)"});
}

TEST_F(BadModel, ConfigContradictsTensors) {
  set_config("n_embd", 64);
  refused({"wte.weight", "64"});
}

TEST_F(BadModel, UnknownActivation) {
  set_config("activation_function", "mish");
  refused({"config.json", "activation_function", "mish", "gelu_new"});
}

TEST_F(BadModel, HeadsThatDoNotDivide) {
  set_config("n_head", 5);
  refused({"n_head", "5"});
}

TEST_F(BadModel, NoConfig) {
  fs::remove(folder_ / "config.json");
  refused({"config.json"});
}

TEST_F(BadModel, TextWithoutATokenizer) {
  expect_refused({"lens", "--model", folder_.path().string(), "--prompt", "hello"},
                 {"missing tokenizer", "--ids"});
}

class BadInput : public ::testing::Test {
 protected:
  std::string plain() const {
    return (fs::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / "plain").string();
  }
  /// COMMAND with the small model and ids, then what is wrong.
  void refused(const std::string& command, const std::vector<std::string>& more,
               const std::vector<std::string>& words) {
    std::vector<std::string> arguments = {command, "--model", plain()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_refused(arguments, words);
  }
};

TEST_F(BadInput, PromptLongerThanTheContext) {
  const std::string ids = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17";
  TempFolder folder;
  refused("lens", {"--ids", ids}, {"17", "16"});
  refused("saliency", {"--ids", ids}, {"17", "16"});
  refused("generate", {"--ids", ids}, {"17", "16"});
  refused("capture", {"--ids", ids, "--capture", "hook_embed", "--out", folder / "x.npy"},
          {"17", "16"});
  EXPECT_EQ(folder.count(), 0u);
}

TEST_F(BadInput, IdOutOfRange) {
  TempFolder folder;
  refused("lens", {"--ids", "1,131"}, {"131", "0..130"});
  refused("generate", {"--ids", "1,131"}, {"131", "0..130"});
  refused("score", {"--ids", "1,131"}, {"131", "0..130"});
  refused("capture", {"--ids", "1,131", "--capture", "hook_embed", "--out", folder / "x.npy"},
          {"131", "0..130"});
  refused("lens", {"--ids", "1", "--watch-ids", "500"}, {"500", "0..130"});
  refused("lens", {"--ids", "1,-2"}, {"-2"});
  refused("lens", {"--ids", "1,two"}, {"two"});
  refused("saliency", {"--ids", "1,131", "--out", folder / "x.safetensors"}, {"131", "0..130"});
  EXPECT_EQ(folder.count(), 0u);
}

TEST_F(BadInput, EmptyPrompt) {
  refused("lens", {}, {"missing prompt", "--prompt"});
  refused("lens", {"--prompt", ""}, {"empty"});
  TempFolder folder;
  folder.write("none.txt", "\n\n");
  refused("generate", {"--prompt-file", folder / "none.txt"}, {"none.txt"});
  refused("generate", {"--prompt-file", folder / "absent.txt"}, {"absent.txt"});
  folder.write("bad.jsonl", "{\"ids\": [1]}\n{\"ids\": [1.5]}\n");
  refused("score", {"--prompt-file", folder / "bad.jsonl"}, {"bad.jsonl:2", "1.5"});
}

TEST_F(BadInput, SitesThatAreNotThere) {
  TempFolder folder;
  const auto capture = [&](const std::string& site, const std::vector<std::string>& words) {
    refused("capture", {"--ids", "1,2,3", "--capture", site, "--out", folder / "x.safetensors"},
            words);
    EXPECT_EQ(folder.count(), 0u);
  };
  capture("blocks.*.hook_resid_pst",
          {"blocks.*.hook_resid_pst", "unknown site", "expected a name such as"});
  capture("blocks.7.hook_resid_post", {"blocks.7.hook_resid_post", "3 layers"});
  capture("blocks.*.hook_resid_post[layers=3]", {"layer 3", "0..2"});
  capture("blocks.0.attn.hook_z[heads=4]", {"head 4", "0..3"});
  capture("blocks.0.hook_resid_post[heads=0]", {"cannot select heads"});
  capture("blocks.0.mlp.hook_post[neurons=128]", {"neuron 128", "0..127"});
  capture("blocks.0.hook_resid_post[positions=3]", {"position 3", "3 tokens"});
  capture("blocks.0.hook_resid_post[head=3]", {"'head'", "heads"});
  capture("blocks.0.hook_resid_post[heads=3", {"missing ']'"});
  capture("", {"empty"});
  refused("generate", {"--ids", "1", "--edit", "blocks.0.attn.hook_z[heads=4]=zero"},
          {"head 4", "0..3"});
  refused("generate", {"--ids", "1", "--edit", "blocks.0.attn.hook_z"}, {"invalid edit"});
  refused("generate", {"--ids", "1", "--edit", "blocks.0.attn.hook_z=halve"}, {"halve", "scale:X"});
  refused("generate", {"--ids", "1", "--edit", "blocks.0.attn.hook_z=scale:big"}, {"big"});
  refused("generate", {"--ids", "1", "--edit", "blocks.0.attn.hook_z=add:gone.npy"}, {"gone.npy"});
}

TEST_F(BadInput, GradientsWithoutWhatTheyNeed) {
  TempFolder folder;
  const auto capture = [&](std::vector<std::string> more, const std::vector<std::string>& words) {
    more.insert(more.begin(), {"--ids", "1,2,3", "--out", folder / "x.safetensors"});
    refused("capture", more, words);
    EXPECT_EQ(folder.count(), 0u);
  };
  capture({}, {"--capture SITE", "--gradient SITE"});
  capture({"--gradient", "hook_embed"}, {"missing target", "--target"});
  capture({"--capture", "hook_embed", "--target-id", "3"}, {"--target-id", "--gradient"});
  capture({"--capture", "hook_embed", "--at", "1"}, {"--at", "--gradient"});
  capture({"--gradient", "hook_embed", "--target-id", "3", "--at", "3"},
          {"position 3", "prompt 0", "3 tokens"});
  capture({"--gradient", "hook_embed", "--target-id", "131"}, {"131"});
  capture({"--gradient", "blocks.*.hook_resid_pst", "--target-id", "3"}, {"unknown site"});
}

TEST_F(BadInput, PlacesThatCannotBeWritten) {
  TempFolder folder;
  const auto to = [&](const std::string& out, const std::vector<std::string>& words) {
    refused("capture", {"--ids", "1,2", "--capture", "blocks.*.hook_resid_post", "--out", out},
            words);
  };
  to(folder / "no" / "x.safetensors", {"missing folder"});
  to(folder / "x.txt", {".txt", ".safetensors"});
  to(folder / "x.npy", {"holds one tensor"});
  EXPECT_EQ(folder.count(), 0u);
  refused("generate", {"--ids", "1", "--capture", "hook_embed"}, {"--out"});
  refused("generate", {"--ids", "1", "--out", folder / "x.npy"}, {"--capture"});
}

TEST_F(BadInput, Options) {
  refused("lens", {"--ids", "1", "--mode", "tuned"}, {"--mode", "tuned"});
  refused("lens", {"--ids", "1", "--position", "5"}, {"position 5"});
  refused("lens", {"--ids", "1", "--layers", "4"}, {"--layers 4", "0..2, embed or logits"});
  refused("lens", {"--ids", "1", "--target", "x"}, {"missing tokenizer"});
  refused("saliency", {"--ids", "1", "--method", "lime"}, {"--method", "lime"});
  refused("saliency", {"--ids", "1", "--target", " London"}, {"missing tokenizer"});
  refused("saliency", {"--ids", "1", "--target-id", "131"}, {"target 131", "0..130"});
  refused("saliency", {"--ids", "1", "--target-id", "1", "--continuation-ids", "1,2"},
          {"--continuation-ids cannot be used with --target-id"});
  refused("saliency", {"--ids", "1", "--contrast-id", "200"}, {"contrast 200", "0..130"});
  refused("saliency", {"--ids", "1,2", "--method", "integrated-gradients", "--steps", "0"},
          {"steps 0", "1..10000"});
  refused("saliency", {"--ids", "1,2", "--method", "integrated-gradients", "--baseline", "pad"},
          {"pad", ".npy"});
  refused("saliency", {"--ids", "1,2", "--method", "integrated-gradients", "--baseline", "delete"},
          {"baseline", "deletion"});
  refused("saliency", {"--ids", "1,2", "--method", "occlusion", "--mask", "id:131"},
          {"mask token 131", "0..130"});
  refused("saliency", {"--ids", "1", "--method", "occlusion", "--mask", "delete"},
          {"cannot delete all"});
  refused("saliency", {"--ids", "1,2", "--method", "span-occlusion", "--budget", "0"},
          {"budget 0"});
  refused("saliency", {"--ids", "1,2", "--method", "smooth-grad", "--samples", "0"}, {"samples 0"});
  refused("saliency",
          {"--ids", "1,2,3", "--continuation-ids", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"},
          {"3 tokens", "15", "16"});
  refused("saliency", {"--ids", "1,2", "--edit", "hook_embed=zero"}, {"hook_embed"});
  refused("saliency", {"--ids", "1,2", "--out", "x.npy"}, {"x.npy", ".safetensors"});
  refused("score", {"--ids", "1,2", "--window", "17"}, {"window 17", "1..16"});
  refused("score", {"--ids", "1,2", "--window", "4", "--stride", "5"}, {"stride 5", "1..4"});
  refused("score", {"--ids", "1"}, {"cannot be scored"});
  refused("score", {"--ids", "1,2", "--prepend"}, {"missing tokenizer"});
  refused("generate", {"--ids", "1", "--temperature", "-1"}, {"temperature", "-1"});
  refused("generate", {"--ids", "1", "--temperature", "1", "--top-p", "0"}, {"top_p"});
  refused("generate", {"--ids", "1", "--repetition-penalty", "0"}, {"repetition_penalty 0"});
  refused("generate", {"--ids", "1", "--bad-words-ids", "131"}, {"131", "0..130"});
  refused("generate", {"--ids", "1", "--stop-ids", "7", "--bad-words-ids", "7"}, {"stop id 7"});
  refused("generate", {"--ids", "1", "--beams", "2", "--num-samples", "3"},
          {"--num-samples 3", "1..2"});
  refused("generate", {"--ids", "1", "--beams", "2", "-n", "40"},
          {"40 new ones exceed the context of 16: expected at most 16 new tokens, or use "
           "--past-context slide"});
  refused("generate", {"--ids", "1,2"}, {"32 new ones", "at most 15 new tokens"});
  refused("lens", {"--ids", "1,2", "--generate", "30"}, {"at most 15 new tokens"});
  refused("generate", {"--ids", "1", "-n", "4", "--min-length", "6"}, {"min_length 6", "0..5"});
  refused("generate", {"--ids", "1", "--min-length", "3", "--min-new-tokens", "2"},
          {"--min-length", "--min-new-tokens"});
  refused("generate", {"--ids", "1", "--choices-ids", "2", "-n", "4"},
          {"--max-new-tokens", "--choices-ids"});
  refused("generate", {"--ids", "1", "--max-new-tokens", "-3"}, {"--max-new-tokens", "-3"});
  refused("info", {"--device", "gpu9"}, {"gpu9"});
  refused("info", {"--bos", "begin"}, {"invalid --bos 'begin'", "auto, none or a token id"});
  refused("info", {"--dtype", "f8"}, {"f8"});
  refused("info", {"--threads", "0"}, {"--threads"});
  refused("info", {"--nonsense"}, {"--nonsense", "vitrine info --help"});
  expect_refused({}, {"--help"});
  expect_refused({"levitate"}, {"levitate"});
  expect_refused({"info", "--model", "no/such/model/anywhere"}, {"no/such/model/anywhere"});
}

}  // namespace
}  // namespace vitrine::testing
