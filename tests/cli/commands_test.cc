// SPDX-License-Identifier: MIT
// What each command says, against the library.

#include <gtest/gtest.h>

#include <cmath>

#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis/choices.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/score.h"
#include "vitrine/beam_search.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/generate.h"
#include "vitrine/gradients.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr const char* kHeathrow = "Heathrow airport is located in the city of";

TEST(Commands, NumbersBelowTheirRangeAreNamed) {
  const auto refused = [](const std::vector<std::string>& arguments, const char* line) {
    const CliResult ran = run_cli(arguments);
    EXPECT_EQ(ran.status, 2);
    EXPECT_EQ(ran.err,
              "vitrine: " + std::string(line) + "; see vitrine " + arguments[0] + " --help\n");
  };
  for (const char* command : {"generate", "noise", "predictivity", "factors", "attention", "bench",
                              "saliency", "patch", "lens"}) {
    refused({command, "--seed", "-1"}, "--seed: invalid value '-1': expected a number >= 0");
  }
  refused({"corpus", "--window", "0"}, "--window: invalid value '0': expected a number > 0");
  refused({"lens", "--threads", "0"}, "--threads: invalid value '0': expected 1 to 4096");
}

TEST(Commands, NumbersAreDecimalAndFitTheirOption) {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& expected) {
    const CliResult ran = run_cli(arguments);
    EXPECT_EQ(ran.status, 2);
    EXPECT_EQ(ran.err, "vitrine: " + arguments[1] + ": invalid value '" + arguments[2] +
                           "': expected " + expected + "; see vitrine " + arguments[0] +
                           " --help\n");
  };
  const std::string seeds = "a whole number from 0 to 18446744073709551615";
  refused({"generate", "--seed", "18446744073709551616"}, seeds);
  refused({"noise", "--seed", "36893488147419103233"}, seeds);
  refused({"generate", "--max-new-tokens", "2147483648"},
          "a whole number from -2147483648 to 2147483647");
  for (const char* value : {"0x10", "1e3", "2.5", "1,000", "5 ", " 5", "five", "+-5"})
    refused({"generate", "--max-new-tokens", value}, "a whole number");
  refused({"generate", "--temperature", "1e-50"}, "0, or a number of magnitude 1.4e-45 to 3.4e+38");
  refused({"generate", "--temperature", "1e39"}, "0, or a number of magnitude 1.4e-45 to 3.4e+38");
  refused({"generate", "--temperature", "0x1p3"}, "a number");
  // Ten, not eight.
  const Json json = run_json({"lens", "--model", plain(), "--ids", "5,9", "--top-k", "010"});
  EXPECT_EQ(json["results"][0]["cells"][0]["top"].size(), 10u);
}

TEST(Commands, ArgumentsThatAreNotUnderstoodAreNamed) {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& line) {
    const CliResult ran = run_cli(arguments);
    EXPECT_EQ(ran.status, 2);
    EXPECT_EQ(ran.err, "vitrine: " + line + "; see vitrine " + arguments[0] + " --help\n");
  };
  refused({"attention", "--mode", "map"},
          "--mode: invalid value 'map': expected maps, rollout, flow or heads");
  refused({"attention", "--mode"},
          "--mode: missing value: expected --mode maps, rollout, flow or heads");
  refused({"attention", "--mode", "maps", "--mode", "flow"},
          "--mode is given 2 times: expected it once");
  refused({"lens", "--html"}, "--html: missing value: expected --html FILE");
  refused({"lens", "--promt", "a"}, "unknown option '--promt': the nearest is --prompt");
  refused({"lens", "--top=3"}, "unknown option '--top': the nearest is --top-k");
  refused({"lens", "a", "b"}, "unexpected text 'a b': expected --prompt 'a b'");
  refused({"info", "a"}, "unexpected argument 'a'");
  EXPECT_EQ(run_cli({"lense"}).err,
            "vitrine: unknown command 'lense': the nearest is lens; see vitrine --help\n");
}

TEST(Commands, LensNumbersAreTheLibrarys) {
  const Json json = run_json({"lens", "--model", plain(), "--ids", "5,9,77,3", "--watch-ids", "1,2",
                              "--top-k", "3", "--mode", "ecco", "--target-id", "8"});
  EXPECT_EQ(json["command"], "lens");
  EXPECT_EQ(json["model"]["dtype"], "f32");
  const Json& result = json["results"][0];
  const Model model = Model::load(plain());
  const Lens found = lens(model, std::vector<int32_t>{5, 9, 77, 3},
                          {.mode = LensMode::kEcco, .top_k = 3, .watch = {1, 2}, .target = 8});
  EXPECT_EQ(result["mode"], "ecco");
  EXPECT_EQ(result["sites"],
            Json({"blocks.0.hook_resid_post", "blocks.1.hook_resid_post", "logits"}));
  ASSERT_EQ(result["cells"].size(), found.target_ranks.size());
  for (size_t cell = 0; cell < result["cells"].size(); ++cell) {
    const Json& got = result["cells"][cell];
    EXPECT_EQ(got["target"]["rank"], found.target_ranks[cell]);
    EXPECT_EQ(got["target"]["log_probability"].get<double>(), found.target_log_probs[cell])
        << "every digit";
    EXPECT_EQ(got["entropy"].get<double>(), found.entropies[cell]);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(got["top"][i]["token"]["id"], found.top_ids[cell * 3 + i]);
      EXPECT_EQ(got["top"][i]["probability"].get<double>(),
                std::exp(found.top_log_probs[cell * 3 + i]));
    }
    for (size_t i = 0; i < 2; ++i)
      EXPECT_EQ(got["watch"][i]["rank"], found.watch_ranks[cell * 2 + i]);
  }
  for (size_t p = 0; p < 4; ++p)
    EXPECT_EQ(result["positions"][p]["target"]["id"], found.targets[p]);
}

TEST(Commands, StoresWeightsAsTheyAreAskedFor) {
  const Json json = run_json(
      {"score", "--model", plain(), "--dtype", "int8", "--ids", "5,9,77,3", "--prepend-id", "1"});
  EXPECT_EQ(json["model"]["dtype"], "i8");
  const Score found = score(Model::load(plain(), {.dtype = DType::kI8}),
                            std::vector<int32_t>{5, 9, 77, 3}, {.prepend = 1});
  for (size_t i = 0; i < 4; ++i)
    EXPECT_EQ(json["results"][0]["scores"][i]["surprisal"].get<double>(), found.tokens[i].loss);
}

TEST(Commands, ScoreNumbersAreTheLibrarys) {
  const Json json = run_json({"score", "--model", plain(), "--ids", "5,9,77,3,4,5,6,7,8",
                              "--window", "4", "--stride", "2", "--prepend-id", "1"});
  const Model model = Model::load(plain());
  const Score found = score(model, std::vector<int32_t>{5, 9, 77, 3, 4, 5, 6, 7, 8},
                            {.window = 4, .stride = 2, .prepend = 1});
  const Json& result = json["results"][0];
  ASSERT_EQ(result["scores"].size(), 9u);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(result["scores"][i]["surprisal"].get<double>(), found.tokens[i].loss);
    EXPECT_EQ(result["scores"][i]["context"], found.tokens[i].context);
    EXPECT_EQ(result["scores"][i]["rank"], found.tokens[i].rank);
  }
  EXPECT_EQ(result["perplexity"].get<double>(), found.perplexity());
  EXPECT_NEAR(json["total"]["mean_bits"].get<double>(), found.mean_bits(), 1e-12);
}

TEST(Commands, GenerateIsTheLibrarysGeneration) {
  const Json json = run_json({"generate", "--model", plain(), "--ids", "5,9", "--ids", "1,2,3",
                              "--num-samples", "2", "--temperature", "0.9", "--seed", "4", "-n",
                              "6", "--edit", "blocks.1.attn.hook_z[heads=2]=scale:0.5"});
  const Model model = Model::load(plain());
  GenerateOptions options{.max_new_tokens = 6};
  options.sampling.temperature = 0.9f;
  options.sampling.seeds = {4, 5, 6, 7};
  Hooks hooks;
  hooks.edit("blocks.1.attn.hook_z", scale(0.5f), {.heads = {2}});
  const Generation found = generate(model, {{5, 9}, {5, 9}, {1, 2, 3}, {1, 2, 3}}, options, hooks);
  ASSERT_EQ(json["results"].size(), 4u);
  for (size_t s = 0; s < 4; ++s) {
    EXPECT_EQ(json["results"][s]["stop_reason"], "length");
    EXPECT_EQ(json["results"][s]["seed"], 4 + s);
    for (size_t i = 0; i < 6; ++i)
      EXPECT_EQ(json["results"][s]["tokens"][i]["id"], found.sequences[s].ids[i]);
  }
}

TEST(Commands, OptionsOfGenerateAreTheLibrarys) {
  const std::vector<std::string> usual = {"generate", "--model", plain(), "--ids",
                                          "100,3",    "-n",      "8"};
  const auto json = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = usual;
    words.insert(words.end(), more.begin(), more.end());
    return run_json(words)["results"];
  };
  const Model model = Model::load(plain());
  const std::vector<int32_t> prompt = {100, 3};
  GenerateOptions options{.max_new_tokens = 8,
                          .min_new_tokens = 2,
                          .sampling = {.temperature = 1.5f,
                                       .min_p = 0.01f,
                                       .typical_p = 0.9f,
                                       .repetition_penalty = 1.2f,
                                       .presence_penalty = 0.5f,
                                       .frequency_penalty = -0.25f,
                                       .seed = 3},
                          .stop_ids = {21},
                          .bad_words = {{63}, {46, 48}},
                          .log_probabilities = 2};
  const Generation::Sequence sampled = generate(model, {prompt}, options).sequences[0];
  const Json got = json({"--min-new-tokens",
                         "2",
                         "--temperature",
                         "1.5",
                         "--min-p",
                         "0.01",
                         "--typical-p",
                         "0.9",
                         "--repetition-penalty",
                         "1.2",
                         "--presence-penalty",
                         "0.5",
                         "--frequency-penalty",
                         "-0.25",
                         "--seed",
                         "3",
                         "--stop-ids",
                         "21",
                         "--bad-words-ids",
                         "63",
                         "--bad-words-ids",
                         "46,48",
                         "--log-probabilities",
                         "2"})[0];
  ASSERT_EQ(got["tokens"].size(), sampled.ids.size());
  for (size_t i = 0; i < sampled.ids.size(); ++i) {
    EXPECT_EQ(got["tokens"][i]["id"], sampled.ids[i]);
    const Json& row = got["log_probabilities"][i];
    EXPECT_EQ(row["log_probability"].get<float>(), sampled.log_probabilities[i]);
    EXPECT_EQ(row["top"][1]["token"]["id"], sampled.top_ids[2 * i + 1]);
  }
  const std::vector<Beam> beams = beam_search(model, prompt, {.max_new_tokens = 8},
                                              {.beams = 3, .results = 2, .length_penalty = 0.5f});
  const Json found = json({"--beams", "3", "--num-samples", "2", "--length-penalty", "0.5"});
  ASSERT_EQ(found.size(), 2u);
  for (size_t b = 0; b < 2; ++b) {
    EXPECT_EQ(found[b]["score"].get<double>(), beams[b].score);
    EXPECT_EQ(found[b]["tokens"][7]["id"], beams[b].ids[7]);
  }
  const Json choices = run_json({"generate", "--model", plain(), "--ids", "100,3", "--choices-ids",
                                 "63,21", "--choices-ids", "7"})["results"][0]["choices"];
  const std::vector<ChoiceScore> scores = score_choices(model, prompt, {{63, 21}, {7}});
  for (size_t c = 0; c < 2; ++c)
    EXPECT_EQ(choices[c]["log_probability"].get<double>(), scores[c].log_probability());
  EXPECT_NEAR(choices[0]["share"].get<double>() + choices[1]["share"].get<double>(), 1, 1e-12);
}

TEST(Commands, GenerateStops) {
  const Json free = run_json({"generate", "--model", plain(), "--ids", "5,9", "-n", "4"});
  const int second = free["results"][0]["tokens"][1]["id"];
  const Json stopped = run_json({"generate", "--model", plain(), "--ids", "5,9", "-n", "4",
                                 "--stop-ids", std::to_string(second)});
  EXPECT_EQ(stopped["results"][0]["stop_reason"], "stop");
  EXPECT_LE(stopped["results"][0]["tokens"].size(), 2u);
  const Json full =
      run_json({"generate", "--model", plain(), "--ids", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                "-n", "40", "--past-context", "end"});
  EXPECT_EQ(full["results"][0]["stop_reason"], "context");
}

TEST(Commands, CapturesAreTheLibrarysBits) {
  TempFolder folder;
  folder.write("prompts.jsonl", "{\"ids\": [1, 2, 3]}\n{\"ids\": [7]}\n");
  const Json json =
      run_json({"capture", "--model", plain(), "--prompt-file", folder / "prompts.jsonl",
                "--capture", "blocks.*.hook_resid_post[layers=1,2]", "--capture",
                "blocks.0.attn.hook_z[heads=1,3 positions=-1]", "--store", "f16", "--out",
                folder / "x.safetensors"});
  EXPECT_EQ(json["capture"]["tokens"], 4);
  EXPECT_EQ(json["capture"]["tensors"].size(), 3u);
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.metadata().at("model"), plain());
  const Model model = Model::load(plain());
  Hooks hooks;
  hooks.capture("blocks.{1,2}.hook_resid_post", {}, DType::kF16)
      .capture("blocks.0.attn.hook_z", {.positions = {-1}, .heads = {1, 3}}, DType::kF16);
  const auto run = model.forward(Batch{{1, 2, 3}, {7}}, hooks);
  const auto first = run.captures().view("blocks.2.hook_resid_post", 0).to_f32(),
             all = file.tensor("blocks.2.hook_resid_post").to_f32();
  EXPECT_TRUE(std::equal(first.begin(), first.end(), all.begin()));
  EXPECT_EQ(file.tensor("blocks.0.attn.hook_z").shape(), (Shape{2, 2, 8}));
}

TEST(Commands, CaptureWritesGradients) {
  TempFolder folder;
  const Json json = run_json({"capture", "--model", plain(), "--ids", "1,2,3", "--ids", "7,9",
                              "--gradient", "blocks.{1,2}.hook_resid_pre", "--gradient",
                              "blocks.0.attn.hook_z[heads=1]", "--target-id", "5", "--contrast-id",
                              "6", "--at", "1", "--out", folder / "g.safetensors"});
  EXPECT_EQ(json["capture"]["gradient"]["target"]["id"], 5);
  EXPECT_EQ(json["capture"]["gradient"]["contrast"]["id"], 6);
  EXPECT_EQ(json["capture"]["gradient"]["position"], 1);
  const SafetensorsFile file(folder / "g.safetensors");
  EXPECT_EQ(Json::parse(file.metadata().at("gradient")), json["capture"]["gradient"]);
  EXPECT_FALSE(file.has("blocks.1.hook_resid_pre"));
  const Model model = Model::load(plain());
  const Backward wanted = backward(
      model, {{1, 2, 3}, {7, 9}}, {target::logit(5, 1) - target::logit(6, 1)},
      Hooks().gradient("blocks.2.hook_resid_pre").gradient("blocks.0.attn.hook_z", {.heads = {1}}));
  for (const char* site : {"blocks.2.hook_resid_pre", "blocks.0.attn.hook_z"}) {
    const std::vector<float> all = file.tensor(std::string("grad.") + site).to_f32();
    std::vector<float> rows = wanted.gradient(site, 0).to_f32(),
                       second = wanted.gradient(site, 1).to_f32();
    rows.insert(rows.end(), second.begin(), second.end());
    EXPECT_EQ(all, rows) << site;
  }
}

TEST(Commands, GenerateCaptures) {
  TempFolder folder;
  const Json json = run_json({"generate", "--model", plain(), "--ids", "1,2,3", "-n", "3",
                              "--capture", "blocks.0.hook_resid_post", "--out", folder / "x.npy"});
  EXPECT_EQ(json["capture"]["tensors"][0]["shape"], Json({5, 32}));
  EXPECT_EQ(folder.count(), 2u);
}

TEST(Commands, AnEditFromAFile) {
  TempFolder folder;
  run_json({"capture", "--model", plain(), "--ids", "1,2,3", "--capture",
            "blocks.1.hook_resid_post[positions=-1]", "--out", folder / "d.safetensors"});
  const std::string file = (folder / "d.safetensors").string() + "#blocks.1.hook_resid_post";
  const auto top = [](const Json& json) {
    return json["results"][0]["cells"].back()["top"][0]["log_probability"].get<double>();
  };
  const Json plain_run = run_json({"lens", "--model", plain(), "--ids", "1,2,3"});
  // Put back where it came from: nothing changes. Added: something does.
  EXPECT_EQ(top(plain_run), top(run_json({"lens", "--model", plain(), "--ids", "1,2,3", "--edit",
                                          "blocks.1.hook_resid_post[positions=-1]=set:" + file})));
  EXPECT_NE(top(plain_run),
            top(run_json({"lens", "--model", plain(), "--ids", "1,2,3", "--edit",
                          "blocks.1.hook_resid_post[positions=-1]=add:" + file + "*-2"})));
}

TEST(Commands, InfoAndSites) {
  const Json info = run_json({"info", "--model", plain()});
  EXPECT_EQ(info["config"]["layers"], 3);
  EXPECT_EQ(info["parameters"], 131 * 32 + 16 * 32 + 3 * (12 * 32 * 32 + 13 * 32) + 64);
  EXPECT_EQ(info["tokenizer"], nullptr);
  EXPECT_EQ(info["sites"].size(), 3u * 18 + 5);
  const Json sites = run_json({"sites", "blocks.{0,2}.attn.hook_q", "logits", "--model", plain()});
  ASSERT_EQ(sites["sites"].size(), 3u);
  EXPECT_EQ(sites["sites"][1]["name"], "blocks.2.attn.hook_q");
  EXPECT_EQ(sites["sites"][1]["shape_here"], "[T, 4, 8]");
}

class Demo : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  }
};

TEST_F(Demo, TheAnswerRisesToRankOne) {
  const Json json =
      run_json({"lens", "--prompt", kHeathrow, "--target", " London", "--position", "-1"});
  const Json& cells = json["results"][0]["cells"];
  EXPECT_GT(cells.front()["target"]["rank"], 10);
  EXPECT_EQ(cells.back()["target"]["rank"], 1);
  EXPECT_EQ(cells.back()["top"][0]["token"]["text"], " London");
  EXPECT_NE(run_cli({"lens", "--prompt", kHeathrow}).out.find("␣London"), std::string::npos);
}

TEST_F(Demo, WatchKeepsSpacesAndComparesSideBySide) {
  const Json json = run_json(
      {"lens", "--prompt", "The keys to the cabinet", "--watch", " is, are", "--position", "-1"});
  EXPECT_EQ(json["results"][0]["watch"][0]["text"], " is");
  EXPECT_EQ(json["results"][0]["watch"][1]["text"], " are");
  const CliResult result = run_cli(
      {"lens", "--prompt", "The keys to the cabinet", "--watch", " is, are", "--position", "-1"});
  EXPECT_NE(result.out.find("ahead"), std::string::npos);
}

TEST_F(Demo, TokenizeThereAndBack) {
  const std::string text = "The keys, \xe4\xbd\xa0\xe5\xa5\xbd [a,b] \xff end";
  const Json json = run_json({"tokenize", "--prompt", text});
  const Json& result = json["results"][0];
  EXPECT_EQ(result["text"], "The keys, \xe4\xbd\xa0\xe5\xa5\xbd [a,b] \\xff end")
      << "brackets and commas stay; a stray byte is escaped";
  std::string hex;
  for (const char c : text) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c));
    hex += digits;
  }
  EXPECT_EQ(result["text_hex"], hex);
  EXPECT_EQ(result["tokens"].back()["span"][1], text.size());
  const std::string ids = run_cli({"tokenize", "--only-ids", "--prompt", text}).out;
  EXPECT_EQ(run_cli({"tokenize", "--decode", "--ids", ids.substr(0, ids.size() - 1)}).out, text);
  EXPECT_EQ(run_cli({"tokenize", "--decode", "--text-file", "-"}, {.input = "from\nstdin\n"}).out,
            "from\nstdin\n");
}

TEST_F(Demo, SpecialTokensOnlyWhenAskedFor) {
  EXPECT_GT(run_json({"tokenize", "--prompt", "<|endoftext|>"})["results"][0]["count"], 1);
  EXPECT_EQ(run_json({"tokenize", "--prompt", "<|endoftext|>", "--special"})["results"][0]["count"],
            1);
}

TEST_F(Demo, StreamingWritesWhatABatchWrites) {
  const std::vector<std::string> arguments = {"generate", "--prompt", "Once upon a time", "-n",
                                              "20"};
  const CliResult streamed = run_cli(arguments);
  EXPECT_EQ(streamed.status, 0) << streamed.err;
  const Json json = run_json(arguments);
  EXPECT_EQ(streamed.out,
            "Once upon a time" + json["results"][0]["text"].get<std::string>() + "\n");
}

TEST_F(Demo, PromptFilesAreBatches) {
  TempFolder folder;
  folder.write("p.txt", "The keys\r\nOne two three\n\nHeathrow\n\n");
  EXPECT_EQ(run_cli({"generate", "--prompt-file", folder / "p.txt", "-n", "2"}).status, 2)
      << "an empty line in the middle";
  folder.write("p.txt", "The keys\r\nOne two three\n\n");
  const Json json = run_json({"generate", "--prompt-file", folder / "p.txt", "-n", "2"});
  ASSERT_EQ(json["results"].size(), 2u);
  EXPECT_EQ(json["results"][0]["prompt"]["text"], "The keys");
  EXPECT_EQ(json["results"][1]["tokens"],
            run_json({"generate", "--prompt", "One two three", "-n", "2"})["results"][0]["tokens"]);
}

TEST_F(Demo, ATokenThatIsTwoIsExplained) {
  const CliResult result =
      run_cli({"lens", "--prompt", "The", "--target", " unfathomable cabinet"});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.err.find("tokens"), std::string::npos);
}

}  // namespace
}  // namespace vitrine::testing
