// SPDX-License-Identifier: MIT
// `vitrine predictivity` on the study of examples/predictivity, whose truth is known, and on files
// that are wrong.

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "base/npy.h"
#include "cli/core/terminal.h"
#include "cli/predictivity/predictivity_files.h"
#include "runner.h"
#include "tests/base/test_files.h"
#include "tests/support.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

std::string example(const char* name) {
  return (std::filesystem::path(VITRINE_SOURCE_DIR) / "examples" / "predictivity" / name).string();
}

TEST(PredictivityCommand, FindsTheBlockThatMadeTheResponses) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  TempFolder folder;
  const Json json = run_json({"predictivity", "--stimuli", example("stimuli.csv"), "--responses",
                              example("responses.csv"), "--site", "blocks.{0,3,5}.hook_resid_post",
                              "--no-control", "--folds", "4", "--bootstraps", "200", "--out",
                              folder / "x.safetensors"});
  const Json& found = json["predictivity"];
  EXPECT_EQ(found["stimuli"], 160);
  EXPECT_EQ(found["groups"], 40);
  EXPECT_EQ(found["subjects"], Json({"S1", "S2", "S3"}));
  EXPECT_EQ(found["best"], "blocks.3.hook_resid_post");
  const Json& best = found["sites"][1];
  EXPECT_EQ(best["features"], 256);
  EXPECT_NEAR(best["score"].get<double>(), best["r"].get<double>() / 0.7071, 1e-12);
  // Far above chance, and no better than the ceiling: 18 neuroids, each r with an error of about
  // 1/sqrt(160).
  EXPECT_GT(best["score"].get<double>(), 0.5);
  EXPECT_LT(best["score"].get<double>(), 1.1);
  EXPECT_LE(best["interval"][0].get<double>(), best["score"].get<double>());
  EXPECT_EQ(found["settings"]["choice"], "gcv");
  EXPECT_FALSE(best.contains("control"));
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.tensor("neuroids.0").shape(), (Shape{3, 18}));
  EXPECT_EQ(file.tensor("subjects.0").shape(), (Shape{3, 3}));
  EXPECT_EQ(file.tensor("below_best_interval.0").shape(), (Shape{3, 2}));
  EXPECT_EQ(
      file.metadata().at("site.0"),
      R"(["blocks.0.hook_resid_post","blocks.3.hook_resid_post","blocks.5.hook_resid_post"])");
}

TEST(PredictivityCommand, MarksWhatCannotBeToldFromTheBest) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  TempFolder folder;
  const std::string csv = (folder / "x.csv").string();
  const std::vector<std::string> command = {"predictivity", "--stimuli", example("stimuli.csv"),
                                            "--responses", example("responses.csv")};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), command.begin(), command.end());
    return more;
  };
  const Json found = run_json(with({"--bootstraps", "200", "--csv", csv}))["predictivity"];
  const std::string out = run_cli(with({"--bootstraps", "200", "--width", "80"})).out,
                    table = read_bytes(csv);
  size_t alike = 0;
  std::string labels;
  for (const Json& site : found["sites"]) {
    const auto low = site["below_best_interval"][0].get<double>(),
               high = site["below_best_interval"][1].get<double>();
    const bool best = site["site"] == found["best"], apart = low > 0 || high < 0;
    EXPECT_EQ(site["verdict"], best ? "best" : apart ? "lower" : "not distinguishable");
    EXPECT_NEAR(site["below_best"].get<double>(),
                found["sites"][3]["score"].get<double>() +
                    found["sites"][3]["below_best"].get<double>() - site["score"].get<double>(),
                1e-12);
    alike += !best && !apart;
    EXPECT_NE(table.find("0," + site["site"].get<std::string>() + ","), std::string::npos);
  }
  const auto count = [](const std::string& text, const std::string& what) {
    size_t times = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
      ++times;
    return times;
  };
  // Block 3 made the responses, and its neighbours hold nearly the same.
  ASSERT_GE(alike, 1u);
  ASSERT_LT(alike, 6u);
  EXPECT_EQ(count(table, ",not distinguishable,"), alike);
  EXPECT_EQ(count(out, " ≈\n"), alike);
  EXPECT_TRUE(says(out, "≈: not distinguishable from the best",
                   "best: " + found["best"].get<std::string>()));
  const size_t begin = out.find("\nsite") + 1;
  std::istringstream lines(out.substr(begin, out.find("\n\n", begin) - begin));
  for (std::string line; std::getline(lines, line);)
    EXPECT_LE(cli::display_width(line), 80u) << line;
  const std::string none = run_cli(with({"--bootstraps", "0", "--no-control"})).out;
  EXPECT_TRUE(says(none, "Without bootstrap draws"));
  EXPECT_EQ(none.find("≈"), std::string::npos);
}

TEST(PredictivityCommand, TableWithAControlAndAConstantNeuroid) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  TempFolder folder;
  std::string stimuli, responses = "a,\"still, always\",c\n";
  for (int i = 0; i < 24; ++i) {
    stimuli += "{\"text\": \"The keys " + std::to_string(i * 37 % 91) +
               "\", \"group\": " + std::to_string(i / 3) + "}\n";
    responses += std::to_string(i * i % 17) + ",5," + std::to_string(i * 7 % 11) + "\n";
  }
  folder.write("s.jsonl", stimuli);
  folder.write("r.csv", responses);
  const CliResult result = run_cli({"predictivity", "--stimuli", folder / "s.jsonl", "--responses",
                                    folder / "r.csv", "--site", "blocks.1.hook_resid_post",
                                    "--folds", "3", "--bootstraps", "20", "--regression", "ols"});
  EXPECT_EQ(result.status, 0) << result.err;
  for (const char* word : {"24 stimuli in 8 groups, 3 neuroids of 1 subject; ols, 3 grouped folds, "
                           "context: group, seed 0",
                           "untrained", "length and place", "best: blocks.1.hook_resid_post",
                           "1 of 3 neuroids have no score, because their responses are constant "
                           "within or outside a fold: still, always"}) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
  }
}

TEST(PredictivityCommand, RefusesInOneLine) {
  TempFolder folder;
  write_npy(folder / "one.npy", Tensor(DType::kF32, {160}));
  const CliResult result = run_cli(
      {"predictivity", "--stimuli", example("stimuli.csv"), "--responses", folder / "one.npy"});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.err,
            "vitrine: the responses have shape [160]: expected two axes, [stimuli, neuroids]\n");
}

TEST(PredictivityFiles, StimuliOfEveryFormat) {
  TempFolder folder;
  folder.write("a.csv", "id,group,text\n1,g,\"A, \"\"b\"\"\"\n2,h,C\n");
  folder.write(
      "b.jsonl",
      "{\"text\": \"A, \\\"b\\\"\", \"group\": \"g\"}\n\n{\"text\": \"C\", \"group\": \"h\"}\n");
  folder.write(
      "c.json",
      "[{\"text\": \"A, \\\"b\\\"\", \"group\": \"g\"}, {\"text\": \"C\", \"group\": \"h\"}]");
  for (const char* name : {"a.csv", "b.jsonl", "c.json"}) {
    const auto found = cli::read_stimuli(folder / name);
    EXPECT_EQ(found.texts, (std::vector<std::string>{"A, \"b\"", "C"})) << name;
    EXPECT_EQ(found.groups, (std::vector<std::string>{"g", "h"})) << name;
  }
  folder.write("e.tsv", "text\tgroup\nA, \"\"\tg\n");
  EXPECT_USER_ERROR(cli::read_stimuli(folder / "e.tsv"), "e.tsv:2: unexpected quote");
  folder.write("e.tsv", "text\tgroup\nA, b; c\tg\n");
  EXPECT_EQ(cli::read_stimuli(folder / "e.tsv").texts, std::vector<std::string>{"A, b; c"});
  EXPECT_USER_ERROR(cli::read_stimuli(folder.write("f.csv", "text,text\nA,B\n")),
                    "f.csv:1: duplicate column 'text'");
  folder.write("d.csv", "text\nA\nB\n");
  EXPECT_EQ(cli::read_stimuli(folder / "d.csv").groups, (std::vector<std::string>{"1", "2"}))
      << "each its own";
}

TEST(PredictivityFiles, ResponsesOfEveryFormat) {
  TempFolder folder;
  folder.write("a.csv", "stimulus,x,y\nsubject,S,T\nceiling,0.5,0.25\n1,1,2\n2,-3e-1, 4\n");
  const auto found = cli::read_responses(folder / "a.csv", "", "");
  EXPECT_EQ(found.neuroids, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(found.subjects, (std::vector<std::string>{"S", "T"}));
  EXPECT_EQ(found.ceilings, (std::vector<double>{0.5, 0.25}));
  EXPECT_EQ(found.values.shape(), (Shape{2, 2}));
  EXPECT_EQ(static_cast<const double*>(found.values.data())[2], -0.3);
  write_npy(folder / "b.npy", Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}));
  folder.write("s.txt", "S\nS\r\nT\n");
  write_npy(folder / "c.npy", Tensor::from(std::vector<float>{0.5f, 0.25f, 1}));
  const auto more = cli::read_responses(folder / "b.npy", folder / "s.txt", folder / "c.npy");
  EXPECT_EQ(more.subjects, (std::vector<std::string>{"S", "S", "T"}));
  EXPECT_EQ(more.ceilings, (std::vector<double>{0.5, 0.25, 1}));
  EXPECT_EQ(cli::read_responses(folder / "b.npy", "", "0.32").ceilings, std::vector<double>{0.32});
  write_npy(folder / "d.npy", Tensor(DType::kI8, {2, 3}));
  EXPECT_EQ(cli::read_responses(folder / "d.npy", "", "").values.dtype(), DType::kF64);
  folder.write("e.txt", "1 2\n3 4\n");
  EXPECT_USER_ERROR(cli::read_responses(folder / "e.txt", "", ""),
                    "e.txt:1: the first line holds numbers only");
  EXPECT_EQ(cli::read_responses(folder / "e.txt", "", "", {.header = false}).values.shape(),
            (Shape{2, 2}));
}

TEST(PredictivityFiles, RefuseWhatIsWrongWithItsPlace) {
  TempFolder folder;
  const auto stimuli = [&](const char* name, const char* text) {
    folder.write(name, text);
    cli::read_stimuli(folder / name);
  };
  const auto responses = [&](const char* text, const std::string& subjects = "",
                             const std::string& ceiling = "") {
    folder.write("r.csv", text);
    cli::read_responses(folder / "r.csv", subjects, ceiling);
  };
  EXPECT_USER_ERROR(stimuli("a.csv", "sentence,group\nA,b\n"),
                    "a.csv:1: missing column 'text' in the header");
  EXPECT_USER_ERROR(stimuli("a.csv", "text,context\nA,b\n"),
                    "a.csv:1: unsupported column 'context'");
  EXPECT_USER_ERROR(stimuli("a.jsonl", "{\"text\": \"A\", \"context\": \"B\"}"),
                    "a.jsonl:1: unsupported field 'context'");
  EXPECT_USER_ERROR(stimuli("a.csv", "text,group\n,b\n"), "a.csv:2: the text is empty");
  EXPECT_USER_ERROR(stimuli("a.csv", "text,group\nA,\n"), "a.csv:2: the group is empty");
  EXPECT_USER_ERROR(stimuli("a.csv", "text,group\n"),
                    "a.csv: missing stimuli: expected at least one");
  EXPECT_USER_ERROR(
      stimuli("a.txt", "A\n"),
      "a.txt: unknown format of stimuli: expected a .csv, .tsv, .json or .jsonl file");
  EXPECT_USER_ERROR(stimuli("a.jsonl", "{\"text\": \"A\", \"group\": \"g\"}\n{\"text\": \"A\"}"),
                    "1 of 2 stimuli have a group");
  EXPECT_USER_ERROR(stimuli("a.jsonl", "{\"text\": \"A\"}\n{\"group\": \"A\"}"),
                    "a.jsonl:2: missing \"text\"");
  EXPECT_USER_ERROR(stimuli("a.json", "{}"), "a.json: is an object of 0 fields: expected a list");
  EXPECT_USER_ERROR(responses("x,y\n1,nan\n"),
                    "r.csv:2: invalid value 'nan' in column 'y': expected a finite number");
  EXPECT_USER_ERROR(responses("x,y\n1,\n"),
                    "r.csv:2: invalid value '' in column 'y': expected a finite number");
  EXPECT_USER_ERROR(responses("x,y\n"), "r.csv: missing data: expected numbers after the names");
  EXPECT_USER_ERROR(responses("stimulus\n1\n"), "r.csv: missing neuroids");
  EXPECT_USER_ERROR(responses("stimulus,x\nsubject,S\n1,2\n", folder / "r.csv"),
                    "has a row of subjects, and --subjects is given as well");
  EXPECT_USER_ERROR(responses("x\n1\n", "", "abc"), "abc: cannot be read");
  EXPECT_USER_ERROR(cli::read_responses("r.md", "", ""),
                    "r.md: unknown format of responses: expected a .npy, .csv, .tsv or .txt file");
  EXPECT_USER_ERROR(cli::parse_numbers("1,x", "--alphas"), "--alphas: invalid number 'x'");
}

}  // namespace
}  // namespace vitrine::testing
