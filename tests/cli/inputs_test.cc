// SPDX-License-Identifier: MIT
// What a user gives is read or named: tensors, texts, tables, arrays, translators.

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "base/float_bits.h"
#include "base/npy.h"
#include "runner.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;
using Args = std::vector<std::string>;

const std::string kTests = (fs::path(VITRINE_SOURCE_DIR) / "tests").string();
/// A checkpoint with score.weight, and no tokenizer.
const std::string kWithClassifier = kTests + "/engine/checkpoints/mixed";
const std::string kPlain = kTests + "/goldens/plain";

std::string refusal(const Args& arguments) {
  const CliResult result = run_cli(arguments);
  EXPECT_EQ(result.status, 2) << result.out;
  return result.err;
}

TEST(UnreadTensors, AreNamedByEveryCommandThatLoadsTheModel) {
  const std::string line = "vitrine: warning: " + kWithClassifier +
                           ": not read: 1 tensor that GPT-2 does not have ('score.weight')\n";
  for (Args arguments : std::vector<Args>{{"info"},
                                          {"sites"},
                                          {"score", "--ids", "1,2,3"},
                                          {"generate", "--ids", "1,2", "-n", "2"},
                                          {"lens", "--ids", "1,2"},
                                          {"attention", "--ids", "1,2"},
                                          {"saliency", "--ids", "1,2"}}) {
    arguments.insert(arguments.end(), {"--model", kWithClassifier});
    const CliResult result = run_cli(arguments);
    EXPECT_EQ(result.status, 0) << arguments[0] << result.err;
    EXPECT_EQ(result.err, line) << arguments[0];
  }
  EXPECT_EQ(run_cli({"info", "--model", kPlain}).err, "");
}

TEST(UnreadTensors, AreAllInInfo) {
  const Json json = Json::parse(run_cli({"info", "--model", kWithClassifier, "--json"}).out);
  EXPECT_EQ(json["unread"]["tensors"], Json({"score.weight"}));
  EXPECT_EQ(json["unread"]["fields"], Json::array());
  EXPECT_TRUE(says(run_cli({"info", "--model", kWithClassifier}).out, "not read    score.weight"));
}

TEST(Ranges, AreOpenWhereverIndicesAreTaken) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const Args prompt = {"--prompt", "The keys to the cabinet"};
  const auto results = [&](Args command) {
    command.insert(command.end(), prompt.begin(), prompt.end());
    Json json = run_json(command);
    json.erase("seconds");
    return json;
  };
  const std::vector<std::pair<Args, Args>> same = {
      {{"lens", "--position", "2.."}, {"lens", "--position", "2..4"}},
      {{"lens", "--layers", "..1,5.."}, {"lens", "--layers", "0,1,5"}},
      {{"attention", "--layers", "4..", "--heads", "..1"},
       {"attention", "--layers", "4,5", "--heads", "0,1"}},
      {{"factors", "--layers", "3..-1", "--components", "2"},
       {"factors", "--layers", "3,4,5", "--components", "2"}},
  };
  for (const auto& [open, closed] : same) EXPECT_EQ(results(open), results(closed)) << open[1];
  EXPECT_EQ(
      run_json({"sites", "blocks.{4..}.attn.hook_z", "blocks.*.hook_resid_post[layers=..1]"}),
      run_json({"sites", "blocks.{4,5}.attn.hook_z", "blocks.*.hook_resid_post[layers=0,1]"}));
  EXPECT_TRUE(says(refusal({"lens", "--prompt", "The keys", "--position", "7.."}),
                   "position 7 is out of range"));
  EXPECT_TRUE(says(refusal({"lens", "--prompt", "The keys", "--position", ".."}), "1..-1"));
  EXPECT_TRUE(says(refusal({"sites", "blocks.{6..}.attn.hook_z"}), "0..5"));
}

TEST(Texts, OfEveryOptionAreReadAlike) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const TempFolder folder;
  const std::string plain = folder.write("a.txt", "The keys\nOne two\n"),
                    marked = folder.write("b.txt", "\xef\xbb\xbfThe keys\r\nOne two\r\n");
  const auto ids = [](const std::string& option, const std::string& path) {
    return run_json({"tokenize", option, path})["results"];
  };
  EXPECT_EQ(ids("--prompt-file", marked), ids("--prompt-file", plain));
  EXPECT_EQ(run_json({"tokenize", "--text-file",
                      folder.write("c.txt", "\xef\xbb\xbfThe keys")})["results"],
            run_json({"tokenize", "--prompt", "The keys"})["results"]);
  const std::string gz = folder.write("d.txt", "\x1f\x8b\x08 and more"sv),
                    latin = folder.write("e.txt", "The\nna\xefve one\n"),
                    wide = folder.write("f.txt", "\xff\xfeT\0h\0"sv);
  for (const Args& command :
       std::vector<Args>{{"tokenize", "--prompt-file"},
                         {"tokenize", "--text-file"},
                         {"score", "--text-file"},
                         {"covariance", "--data"},
                         {"predictivity", "--responses", "x.csv", "--stimuli"},
                         {"lens", "--translators", folder / "t", "--fit"},
                         {"covariance", "--capture", "blocks.0.hook_resid_post"}}) {
    const auto with = [&](const std::string& path) {
      Args arguments = command;
      if (command[0] == "covariance" && command[1] == "--capture")
        arguments.insert(arguments.begin() + 1, path);
      else
        arguments.push_back(path);
      return refusal(arguments);
    };
    EXPECT_TRUE(says(with(gz), "d.txt: is compressed with gzip", "gunzip -k")) << command[1];
    EXPECT_TRUE(says(with(wide), "f.txt: is UTF-16", "iconv")) << command[1];
    EXPECT_TRUE(says(with(latin), "e.txt:", "0xef at offset 6")) << command[1];
  }
  EXPECT_TRUE(says(run_cli({"tokenize", "--prompt-file", "-"}, {.input = "\x1f\x8b\x08"}).err,
                   "standard input: is compressed with gzip"));
}

std::string values_of(const Json& json) { return json["results"][0]["covariance"].dump(); }

TEST(Tables, AreReadInEveryForm) {
  const TempFolder folder;
  const auto covariance = [](Args arguments) {
    arguments.insert(arguments.begin(), "covariance");
    return run_json(arguments);
  };
  const auto data = [&](const std::string& name, std::string_view text, Args more = {}) {
    more.insert(more.begin(), {"--data", folder.write(name, text)});
    return values_of(covariance(more));
  };
  // numpy.cov([[1, 2, 4], [10, 12, 17]])
  const Json wanted = covariance({"--values", "1 10; 2 12; 4 17"})["results"][0];
  EXPECT_EQ(wanted["variables"], Json({"0", "1"}));
  EXPECT_NEAR(wanted["covariance"][0][0].get<double>(), 7.0 / 3, 1e-14);
  EXPECT_NEAR(wanted["covariance"][0][1].get<double>(), 5.5, 1e-14);
  EXPECT_NEAR(wanted["covariance"][1][1].get<double>(), 13.0, 1e-13);
  const std::string same = wanted["covariance"].dump();
  EXPECT_EQ(data("a.csv", "x,y\n1,10\n2,12\n4,17\n"), same);
  EXPECT_EQ(data("b.csv", "x;y\r\n1;10\r\n2;12\r\n4;17\r\n"), same);
  EXPECT_EQ(data("c.tsv", "x\ty\n1\t10\n2\t12\n4\t17\n"), same);
  EXPECT_EQ(data("d.txt", "1 10\n2 12\n4 17\n", {"--no-header"}), same);
  EXPECT_EQ(data("e.csv", "3,5\n1,10\n2,12\n4,17\n", {"--header"}), same);
  EXPECT_EQ(data("f.csv", "x,1,2,4\ny,10,12,17\n", {"--rows-are-variables"}), same);
  EXPECT_EQ(values_of(covariance({"--values", "1,2,4; 10,12,17", "--rows-are-variables"})), same);
  const Tensor array = Tensor::from(std::vector<float>{1, 10, 2, 12, 4, 17}, {3, 2});
  write_npy(folder / "g.npy", array);
  EXPECT_EQ(values_of(covariance({"--data", folder / "g.npy"})), same);

  const auto refused = [&](Args arguments) {
    arguments.insert(arguments.begin(), "covariance");
    return refusal(arguments);
  };
  EXPECT_TRUE(says(refused({"--data", folder / "d.txt"}), "d.txt:1: the first line holds numbers",
                   "--no-header", "--header"));
  EXPECT_TRUE(says(refused({"--values", "1 2; 3"}), "--values:2: has 1 field: expected 2"));
  EXPECT_TRUE(says(refused({"--values", "1 x; 2 3"}), "--values:1: invalid value 'x'"));
  EXPECT_TRUE(says(refused({"--data", folder / "g.npy", "--header"}), "a .npy file has no header"));
  EXPECT_TRUE(says(refused({"--values", "1 2; 3 4", "--header"}), "--header", "--values"));
  EXPECT_TRUE(says(refused({"--merge", "x.safetensors", "--rows-are-variables"}),
                   "--rows-are-variables", "--merge"));
}

TEST(Tables, ConstantColumnsHaveNoCorrelation) {
  const Args arguments = {"covariance", "--values", "0.1 0.7 1; 0.1 0.7 2; 0.1 0.7 4"};
  const Json result = run_json(arguments)["results"][0];
  EXPECT_EQ(result["covariance"][0], Json({0.0, 0.0, 0.0}));
  EXPECT_EQ(result["correlation"][0], Json({nullptr, nullptr, nullptr}));
  EXPECT_EQ(result["constant"], Json({0, 1}));
  EXPECT_EQ(result["strongest"], Json::array());
  EXPECT_TRUE(
      says(run_cli(arguments).out, "2 of 3 variables are constant and have no correlation: 0, 1"));
}

TEST(Tables, CorrelationsDoNotDependOnTheScale) {
  const Json plain = run_json({"covariance", "--values", "1 5; 2 1; 4 2"})["results"][0],
             large = run_json({"covariance", "--values",
                               "1e200 5e-250; 2e200 1e-250; 4e200 "
                               "2e-250"})["results"][0];
  for (size_t i = 0; i < 2; ++i) {
    for (size_t j = 0; j < 2; ++j)
      EXPECT_NEAR(large["correlation"][i][j].get<double>(),
                  plain["correlation"][i][j].get<double>(), 1e-14);
  }
  EXPECT_TRUE(large["covariance"][0][0].is_null()) << "1e400 is not a float64";
  EXPECT_EQ(large["constant"], Json::array());
  const TempFolder folder;
  EXPECT_TRUE(
      says(refusal({"covariance", "--values", "1e200 1; 2e200 3", "--html", folder / "x.html"}),
           "outside the range of float64"));
}

TEST(Tables, ResponsesOfAnyScaleAreScoredAlike) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const TempFolder folder;
  const std::string stimuli = folder.write(
      "s.csv",
      "text,group\nThe key is here.,g0\nA dog sat down.,g0\nThe door is red.,g1\nShe reads a "
      "book.,g1\nThe key is here.,g2\nThe cat ran off.,g2\nA tree is near.,g3\nThe house is old.,"
      "g3\n");
  const auto scores = [&](const std::string& exponent) {
    std::string table = "v1\tv2\n";
    for (const char* row : {"0.126,-0.132", "0.105,-0.536", "1.304,0.947", "-1.265,-0.623",
                            "-2.325,-0.219", "-0.732,-0.544", "0.412,1.043", "1.366,-0.665"}) {
      const std::string text = row;
      const size_t comma = text.find(',');
      table += text.substr(0, comma) + exponent + "\t" + text.substr(comma + 1) + exponent + "\n";
    }
    return run_json({"predictivity", "--stimuli", stimuli, "--responses",
                     folder.write("r.tsv", table), "--folds", "2", "--no-control", "--bootstraps",
                     "0", "--site", "blocks.0.hook_resid_pre"})["predictivity"];
  };
  const Json plain = scores("");
  for (const char* exponent : {"e200", "e-200", "e300", "e-290"}) {
    const Json scaled = scores(exponent);
    for (size_t q = 0; q < 2; ++q)
      EXPECT_NEAR(scaled["sites"][0]["neuroids"][q].get<double>(),
                  plain["sites"][0]["neuroids"][q].get<double>(), 1e-9)
          << exponent;
  }
  EXPECT_EQ(plain["repeated"]["stimuli"], Json({0, 4})) << "in the groups g0 and g2";
}

TEST(Arrays, OfAnyNumbersAreOperands) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const TempFolder folder;
  std::vector<float> values(256);
  std::vector<uint16_t> halves;
  Tensor integers(DType::kI16, {256});
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i % 5) - 2;
    halves.push_back(f32_to_f16(values[i]));
    static_cast<int16_t*>(integers.data())[i] = static_cast<int16_t>(values[i]);
  }
  write_npy(folder / "f32.npy", Tensor::from(values));
  write_npy(folder / "f16.npy", TensorView(halves.data(), DType::kF16, {256}));
  write_npy(folder / "i16.npy", integers);
  const auto score = [&](const std::string& name) {
    return run_json({"score", "--prompt", "The keys to the cabinet", "--edit",
                     "blocks.3.hook_resid_pre=add:" + (folder / name).string()})["results"];
  };
  const Json wanted = score("f32.npy");
  EXPECT_EQ(score("f16.npy"), wanted);
  EXPECT_EQ(score("i16.npy"), wanted);
}

TEST(Translators, OfAnotherModelAreRefusedOrNamed) {
  const TempFolder folder;
  const fs::path golden = fs::path(kTests) / "analysis" / "goldens" / "tuned_plain";
  fs::copy(golden, folder / "t");
  Json config = read_json(golden / "config.json");
  const auto lens = [&](const std::string& field, const Json& value) {
    config[field] = value;
    folder.write("t/config.json", config.dump());
    return run_cli({"lens", "--model", kPlain, "--ids", "5,9", "--translators", folder / "t"});
  };
  const CliResult refused = lens("unembed_hash", std::string(64, '1'));
  EXPECT_EQ(refused.status, 2);
  EXPECT_TRUE(says(refused.err, "unembed_hash is '1111", "made for another model, 'plain'"));
  EXPECT_EQ(lens("unembed_hash", nullptr).err, "");
  const CliResult named = lens("base_model_name_or_path", "gpt2");
  EXPECT_EQ(named.status, 0);
  EXPECT_TRUE(says(named.err, "vitrine: warning: ", "the translators were made for 'gpt2'"));
}

}  // namespace
}  // namespace vitrine::testing
