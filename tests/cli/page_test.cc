// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <filesystem>

#include "runner.h"
#include "tests/base/test_files.h"

// --html, --svg and --png. What is on a page is tests/report's matter.

namespace vitrine {
using namespace internal;
namespace {

using testing::read_bytes;
using testing::run_cli;
using testing::says;

class PageOptions : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::has_demo()) GTEST_SKIP() << "models/demo is not there";
  }
  testing::TempFolder folder_;
};

TEST_F(PageOptions, AllThreeAreWrittenBesideWhatIsPrinted) {
  const std::string page = folder_ / "lens.html", svg = folder_ / "lens.svg",
                    png = folder_ / "lens.png";
  const std::vector<std::string> arguments = {
      "lens",  "--prompt", "It's <b> & \xe4", "--prompt", "two", "--html", page,
      "--svg", svg,        "--png",           png};
  const auto result = run_cli(arguments);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_TRUE(says(result.out, "normalized lens"));
  // The command at the foot is what a shell reads back, whatever the words hold.
  EXPECT_TRUE(says(read_bytes(page), "<!doctype html>",
                   "vitrine lens --prompt $'It\\'s &lt;b&gt; &amp; \\xe4' --prompt two --html",
                   "model demo"));
  EXPECT_TRUE(says(read_bytes(svg), "<svg", "</svg>"));
  EXPECT_EQ(read_bytes(png).substr(1, 3), "PNG");
  EXPECT_EQ(folder_.count(), 3u);
  const std::string first = read_bytes(page);
  ASSERT_EQ(run_cli(arguments).status, 0);
  EXPECT_EQ(read_bytes(page), first);
}

TEST_F(PageOptions, EveryKindOfPatchHasItsPage) {
  const std::string page = folder_ / "patch.html", svg = folder_ / "patch.svg";
  const std::vector<std::string> base = {"patch",    "--clean", "The keys to the cabinet",
                                         "--answer", " are",    "--wrong",
                                         " is",      "--html",  page,
                                         "--svg",    svg};
  const auto title_of = [&](std::vector<std::string> more) {
    std::filesystem::remove(svg);
    more.insert(more.begin(), base.begin(), base.end());
    const auto result = run_cli(more);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_TRUE(std::filesystem::exists(svg));
    const std::string text = read_bytes(page);
    return text.substr(text.find("<h1>") + 4, text.find("</h1>") - text.find("<h1>") - 4);
  };
  EXPECT_EQ(title_of({"--corrupt", "The key to the cabinet", "--layers", "5"}),
            "Activation patching");
  EXPECT_EQ(title_of({"--ablate", "zero", "--layers", "5"}), "Ablation");
}

TEST_F(PageOptions, EveryAnalysisHasItsPage) {
  folder_.write("series.csv", "up,down\n1,6\n2,4\n4,1\n");
  const std::string page = folder_ / "page.html";
  const auto written = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--html", page});
    const auto result = run_cli(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    const std::string text = read_bytes(page);
    std::filesystem::remove(page);
    return text;
  };
  const std::vector<std::string> prompt = {"--prompt", "The keys to the old cabinet are gone."};
  const auto of_prompt = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), prompt.begin(), prompt.end());
    return written(std::move(arguments));
  };
  EXPECT_TRUE(
      says(of_prompt({"noise", "--repetitions", "2", "--kind", "spans", "--kind", "scattered"}),
           "<h1>Noise</h1>", "spans_less_scattered\":{"));
  EXPECT_TRUE(says(of_prompt({"attention", "--layers", "1", "--position", "all"}),
                   "<h1>Attention</h1>", "\"attention\":{"));
  EXPECT_TRUE(says(of_prompt({"attention", "--mode", "rollout"}), "<h1>Attention rollout</h1>",
                   "\"rollout\":{"));
  EXPECT_TRUE(says(of_prompt({"attention", "--mode", "flow"}), "<h1>Attention flow</h1>",
                   "\"edge_capacity\":{"));
  EXPECT_TRUE(says(of_prompt({"attention", "--mode", "heads", "--sequences", "1"}),
                   "<h1>What heads do</h1>", "\"induction\":{"));
  EXPECT_TRUE(
      says(of_prompt({"windows", "--window", "3"}), "<h1>Training windows</h1>", "\"targets\":{"));
  EXPECT_TRUE(says(of_prompt({"similarity", "--site", "blocks.{0,1}.hook_resid_post"}),
                   "<h1>Similarity of layers: linear CKA</h1>"));
  EXPECT_TRUE(says(of_prompt({"factors", "-k", "2", "--layers", "0", "--max-iterations", "5"}),
                   "<h1>Neuron factors</h1>"));
  EXPECT_TRUE(says(of_prompt({"score"}), "<h1>Surprisal</h1>", "\"surprisal\":{"));
  EXPECT_TRUE(says(of_prompt({"score", "--words"}), "\"word_surprisal\":{", "cabinet"));
  EXPECT_TRUE(says(of_prompt({"lens", "--generate", "2"}), "<h1>Rankings over a generation</h1>",
                   "\"prompt\":"));
  const std::string table = written({"covariance", "--data", folder_ / "series.csv"});
  EXPECT_TRUE(says(table, "<h1>Covariance</h1>", "\"variable\":[\"up\",\"down\"]",
                   "\"series_value\":{", "vitrine covariance --data"));
  EXPECT_EQ(table.find(", model "), std::string::npos);  // a table has none
  const std::string more = folder_ / "more.txt", fewer = folder_ / "fewer.txt";
  folder_.write("more.txt", "The keys\nThe dogs\n");
  folder_.write("fewer.txt", "The key's\nThe dog\n");
  const std::string directions = written({"concept", "--positive", more, "--negative", fewer,
                                          "--site", "blocks.{1,2}.attn.hook_z[heads=0..1]"});
  // What to copy saves the directions, narrows as they were narrowed, and is what a shell reads
  // back.
  EXPECT_TRUE(
      says(directions, "<h1>Concept direction</h1>",
           "2 positive and 2 negative prompts, 2 sites, [heads=0..1]",
           " --out directions.safetensors && vitrine generate --prompt 'The key'\\\\''s' --edit ",
           "'blocks.2.attn.hook_z[heads=0..1]=add:directions.safetensors#blocks.2.attn.hook_z*1'"));
}

TEST_F(PageOptions, TextsHaveFigures) {
  folder_.write("more.txt", "The keys\nThe dogs\n");
  folder_.write("fewer.txt", "The key\nThe dog\n");
  const std::string svg = folder_ / "figure.svg", png = folder_ / "figure.png";
  for (std::vector<std::string> arguments : std::vector<std::vector<std::string>>{
           {"concept", "--positive", folder_ / "more.txt", "--negative", folder_ / "fewer.txt",
            "--site", "blocks.{1,2}.hook_resid_post"},
           {"factors", "-k", "2", "--layers", "0", "--max-iterations", "5", "--prompt", "The keys"},
           {"score", "--prompt", "The keys"},
           {"windows", "--window", "1", "--prompt", "The keys"},
           {"score", "--words", "--prompt", "The keys"}}) {
    arguments.insert(arguments.end(), {"--svg", svg, "--png", png});
    const auto result = run_cli(arguments);
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_TRUE(says(read_bytes(svg), "<svg", "</svg>")) << arguments[0];
    EXPECT_EQ(read_bytes(png).substr(1, 3), "PNG") << arguments[0];
    std::filesystem::remove(svg);
    std::filesystem::remove(png);
  }
  const auto windows = run_cli({"windows", "--prompt", "The keys", "--window", "2", "--png", png});
  EXPECT_EQ(windows.status, 2);
  EXPECT_TRUE(says(windows.err, "too short for a window of 2", "use a smaller --window"));
  EXPECT_FALSE(std::filesystem::exists(png));
}

TEST_F(PageOptions, AFileThatCannotBeWrittenIsRefusedBeforeTheWork) {
  const auto result =
      run_cli({"saliency", "--prompt", "x", "--html", (folder_ / "no/such/folder.html").string()});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(says(result.err, "--html", "no/such/folder.html"));
  EXPECT_EQ(folder_.count(), 0u);
}

}  // namespace
}  // namespace vitrine
