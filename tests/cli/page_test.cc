#include <gtest/gtest.h>

#include <filesystem>

#include "runner.h"
#include "tests/base/test_files.h"

// --html, --svg and --png. What is on a page is tests/report's matter.

namespace vitrine {
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
  const std::string page = folder_ / "lens.html", svg = folder_ / "lens.svg", png = folder_ / "lens.png";
  const std::vector<std::string> arguments = {"lens", "--prompt", "It's <b> & \xe4", "--prompt", "two", "--html", page, "--svg", svg, "--png", png};
  const auto result = run_cli(arguments);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_TRUE(says(result.out, "normalized lens"));
  // The command at the foot is what a shell reads back, whatever the words hold.
  EXPECT_TRUE(says(read_bytes(page), "<!doctype html>", "vitrine lens --prompt $'It\\'s &lt;b&gt; &amp; \\xe4' --prompt two --html", "model demo"));
  EXPECT_TRUE(says(read_bytes(svg), "<svg", "</svg>"));
  EXPECT_EQ(read_bytes(png).substr(1, 3), "PNG");
  EXPECT_EQ(folder_.count(), 3u);
  const std::string first = read_bytes(page);
  ASSERT_EQ(run_cli(arguments).status, 0);
  EXPECT_EQ(read_bytes(page), first);
}

TEST_F(PageOptions, EveryKindOfPatchHasItsPage) {
  const std::string page = folder_ / "patch.html", svg = folder_ / "patch.svg";
  const std::vector<std::string> base = {"patch", "--clean", "The keys to the cabinet", "--answer", " are", "--wrong", " is", "--html", page, "--svg", svg};
  const auto title_of = [&](std::vector<std::string> more) {
    std::filesystem::remove(svg);
    more.insert(more.begin(), base.begin(), base.end());
    const auto result = run_cli(more);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_TRUE(std::filesystem::exists(svg));
    const std::string text = read_bytes(page);
    return text.substr(text.find("<h1>") + 4, text.find("</h1>") - text.find("<h1>") - 4);
  };
  EXPECT_EQ(title_of({"--corrupt", "The key to the cabinet", "--layers", "5"}), "Activation patching");
  EXPECT_EQ(title_of({"--ablate", "zero", "--layers", "5"}), "Ablation");
}

TEST_F(PageOptions, AFileThatCannotBeWrittenIsRefusedBeforeTheWork) {
  const auto result = run_cli({"saliency", "--prompt", "x", "--html", (folder_ / "no/such/folder.html").string()});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(says(result.err, "--html", "no/such/folder.html"));
  EXPECT_EQ(folder_.count(), 0u);
}

}  // namespace
}  // namespace vitrine
