// SPDX-License-Identifier: MIT
// The rule that keeps the house in order: includes run one way. Reads every #include of the tree,
// so that a shortcut from, say, the analyses into the engine's insides fails here and not in a
// review.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/base/test_files.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxLines = 600;

// What a folder may see, besides itself. A public header counts as part of the folder that
// implements it.
const std::map<std::string, std::set<std::string>> kSees = {
    {"base", {}},
    {"tokenizer", {"base"}},
    {"kernels", {"base"}},
    {"hooks", {"base", "kernels"}},
    {"engine", {"base", "kernels", "hooks", "tokenizer"}},
    {"analysis", {"base", "kernels", "hooks", "tokenizer", "engine"}},
    {"report", {"base", "kernels", "hooks", "tokenizer", "engine", "analysis"}},
    {"vitrine.h", {"base", "kernels", "hooks", "tokenizer", "engine", "analysis", "report"}},
    {"cli",
     {"base", "kernels", "hooks", "tokenizer", "engine", "analysis", "report", "vitrine.h",
      "bench"}},
    {"bench",
     {"base", "kernels", "hooks", "tokenizer", "engine", "analysis", "report", "vitrine.h"}},
    {"python",
     {"base", "kernels", "hooks", "tokenizer", "engine", "analysis", "report", "vitrine.h"}},
    {"tests",
     {"base", "kernels", "hooks", "tokenizer", "engine", "analysis", "report", "vitrine.h", "cli",
      "bench"}},
    {"examples",
     {"base", "kernels", "hooks", "tokenizer", "engine", "analysis", "report", "vitrine.h"}},
    {"tools", {}},
};

// These stand on the public headers: of the folders that they see they may open base/, analysis/,
// report/ and bench/ alone.
const std::set<std::string> kPublicFaceOnly = {"analysis", "report", "vitrine.h",
                                               "cli",      "python", "examples"};
const std::set<std::string> kOpenToAll = {"base", "analysis", "report", "bench"};

// The folders of include/vitrine/ and who implements them. Each has an umbrella of its name beside
// it.
const std::map<std::string, std::string> kPublicFolders = {{"analysis", "analysis"},
                                                           {"corpus", "analysis"},
                                                           {"checkpoint", "engine"},
                                                           {"report", "report"}};

// Where the source of a public header may stand: NAME.cc in one of these makes NAME.h that
// folder's.
const std::vector<std::string> kImplementing = {"base", "tokenizer", "hooks", "engine"};

bool is_source(const fs::path& path) {
  static const std::set<std::string> kEndings = {".h", ".cc", ".cu", ".cuh", ".inc"};
  return kEndings.contains(path.extension().string());
}

// Folders that hold none of our sources: hidden ones, builds, checkpoints.
bool is_left_out(const std::string& folder) {
  return folder.starts_with('.') || folder.starts_with("build") || folder == "models" ||
         folder == "docs" || folder == "node_modules";
}

std::string first_part(const fs::path& path) { return path.begin()->string(); }

// The folder of the rule that a public header, relative to include/vitrine, belongs to: the folder
// that has its source, else the one that implements its folder. A header without a source at the
// top is base's, an umbrella has a place of its own.
std::string layer_of_public(const fs::path& root, const fs::path& header) {
  const std::string stem = header.stem().string();
  if (header == "vitrine.h") return "vitrine.h";
  const bool top = !header.has_parent_path();
  if (top && kPublicFolders.contains(stem)) return kPublicFolders.at(stem);
  for (const std::string& folder : kImplementing) {
    if (fs::exists(root / folder / (stem + ".cc"))) return folder;
  }
  if (top) return "base";
  const auto found = kPublicFolders.find(first_part(header));
  return found == kPublicFolders.end() ? "" : found->second;
}

// The folder of the rule that a path, relative to the tree, belongs to; empty if there is none.
std::string layer_of(const fs::path& root, const fs::path& path) {
  const std::string folder = first_part(path);
  if (folder == "include") return layer_of_public(root, path.lexically_relative("include/vitrine"));
  return kSees.contains(folder) ? folder : "";
}

class Reader {
 public:
  explicit Reader(fs::path root) : root_(std::move(root)) {}

  std::vector<std::string> violations() {
    for (const auto& entry : fs::directory_iterator(root_)) {
      const std::string name = entry.path().filename().string();
      if (!entry.is_directory() || is_left_out(name)) continue;
      for (const auto& file : fs::recursive_directory_iterator(entry.path())) {
        if (file.is_regular_file() && is_source(file.path()))
          read(fs::relative(file.path(), root_));
      }
    }
    std::sort(violations_.begin(), violations_.end());
    return violations_;
  }

 private:
  void report(const std::string& where, const std::string& what) {
    violations_.push_back(where + ": " + what);
  }

  void read(const fs::path& path) {
    const std::string layer = layer_of(root_, path);
    if (layer.empty()) {
      report(path.string(),
             "belongs to no folder of the rule; add it to the tables of include_rule_test.cc");
      return;
    }
    static const std::regex kInclude(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)");
    std::ifstream in(root_ / path);
    std::string line;
    int number = 0;
    while (std::getline(in, line)) {
      ++number;
      std::smatch match;
      if (line.find("#") != std::string::npos && std::regex_match(line, match, kInclude)) {
        check(path, layer, path.string() + ":" + std::to_string(number), match[2], match[1] == "<");
      }
    }
    // Generated tables (.inc) are as long as they are.
    if (number > kMaxLines && path.extension() != ".inc") {
      report(path.string(), "has " + std::to_string(number) + " lines; split what is over " +
                                std::to_string(kMaxLines));
    }
  }

  void check(const fs::path& path, const std::string& layer, const std::string& where,
             const std::string& name, bool angle) {
    static const std::regex kCuda(
        R"((cuda|cublas|cusolver|cudnn|curand|nv|mma\.h|cub/|thrust/|cooperative_groups|device_launch).*)");
    if (std::regex_match(name, kCuda)) {
      if (!path.string().starts_with("kernels/cuda/"))
        report(where, "includes " + name + "; only kernels/cuda knows CUDA");
      return;
    }
    if (angle && !name.starts_with("vitrine/")) return;
    // A name starts at the root of the tree, is vitrine/X.h, or stands beside the file that
    // includes it.
    fs::path target = name.starts_with("vitrine/") ? fs::path("include") / name : fs::path(name);
    if (!fs::exists(root_ / target)) target = path.parent_path() / name;
    if (!fs::exists(root_ / target))
      return report(where, "includes \"" + name + "\", which is not in the tree");
    const std::string to = layer_of(root_, target);
    if (to.empty() || to == layer) return;  // a file without a folder is reported on its own
    if (!kSees.at(layer).contains(to)) {
      report(where, layer + " must not include " + name + " (" + to + ")");
    } else if (kPublicFaceOnly.contains(layer) && first_part(target) != "include" &&
               !kOpenToAll.contains(to)) {
      report(where, layer + " includes " + name + "; it may open public headers and base/ only");
    }
  }

  fs::path root_;
  std::vector<std::string> violations_;
};

std::vector<std::string> violations(const fs::path& root) { return Reader(root).violations(); }

TEST(IncludeRule, HoldsInTheTree) {
  for (const std::string& violation : violations(VITRINE_SOURCE_DIR)) ADD_FAILURE() << violation;
}

// The reader itself: a small tree with one right and one wrong include of each kind.
class PlantedTree : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_.path() / path).parent_path());
    std::ofstream(root_.path() / path) << text;
  }
  std::string only_violation() {
    const auto found = violations(root_.path());
    EXPECT_EQ(found.size(), 1u) << ::testing::PrintToString(found);
    return found.empty() ? "" : found[0];
  }
  void SetUp() override {
    write("base/a.h", "#pragma once\n");
    write("kernels/k.h", "#include <vector>\n#include \"base/a.h\"\n");
    write("engine/e.h", "#include \"kernels/k.h\"\n#include \"vitrine/model.h\"\n");
    write("include/vitrine/model.h", "#include <vitrine/tokenizer.h>\n");
    write("include/vitrine/tokenizer.h", "");
    write("engine/model.cc", "");
    write("tokenizer/tokenizer.cc", "");
    write("include/vitrine/analysis/lens.h", "#include \"vitrine/model.h\"\n");
    write("include/vitrine/analysis.h", "#include \"vitrine/analysis/lens.h\"\n");
    write("include/vitrine/checkpoint/files.h", "");
    write("base/files.cc", "#include \"vitrine/checkpoint/files.h\"\n");
    write("analysis/l.cc", "#include \"base/a.h\"\n#include \"vitrine/model.h\"\n");
    write("build-x/base/a.h", "#include \"engine/e.h\"\n");
    write("kernels/cuda/k.cu", "#include <cuda_runtime.h>\n");
    write("tests/kernels/harness.h", "");
    write(
        "tests/kernels/t.cc",
        "#include \"harness.h\"\n#include \"tests/kernels/harness.h\"\n#include \"engine/e.h\"\n");
  }

  testing::TempFolder root_;
};

TEST_F(PlantedTree, RightIncludesPass) {
  EXPECT_EQ(violations(root_.path()), std::vector<std::string>{});
}

TEST_F(PlantedTree, UpwardInclude) {
  write("base/b.cc", "// a\n  #  include \"engine/e.h\" // why not\n");
  EXPECT_EQ(only_violation(), "base/b.cc:2: base must not include engine/e.h (engine)");
}

TEST_F(PlantedTree, TokenizerSeesOnlyBase) {
  write("tokenizer/t.cc", "#include \"kernels/k.h\"\n");
  EXPECT_EQ(only_violation(), "tokenizer/t.cc:1: tokenizer must not include kernels/k.h (kernels)");
}

TEST_F(PlantedTree, KernelsDoNotSeeTheTokenizer) {
  write("kernels/t.cc", "#include \"vitrine/tokenizer.h\"\n");
  EXPECT_EQ(only_violation(),
            "kernels/t.cc:1: kernels must not include vitrine/tokenizer.h (tokenizer)");
}

TEST_F(PlantedTree, InsidesOfTheEngineFromAnAnalysis) {
  write("analysis/x.cc", "#include \"engine/e.h\"\n");
  EXPECT_EQ(
      only_violation(),
      "analysis/x.cc:1: analysis includes engine/e.h; it may open public headers and base/ only");
}

TEST_F(PlantedTree, PublicHeaderOfALaterFolder) {
  write("include/vitrine/error.h", "#include \"vitrine/model.h\"\n");
  EXPECT_EQ(only_violation(),
            "include/vitrine/error.h:1: base must not include vitrine/model.h (engine)");
}

TEST_F(PlantedTree, PublicHeaderOfAnAnalysisFromTheEngine) {
  write("engine/x.cc", "#include \"vitrine/analysis/lens.h\"\n");
  EXPECT_EQ(only_violation(),
            "engine/x.cc:1: engine must not include vitrine/analysis/lens.h (analysis)");
}

TEST_F(PlantedTree, UmbrellaOfALaterFolder) {
  write("include/vitrine/analysis/score.h", "#include \"vitrine/report.h\"\n");
  write("include/vitrine/report.h", "");
  EXPECT_EQ(
      only_violation(),
      "include/vitrine/analysis/score.h:1: analysis must not include vitrine/report.h (report)");
}

TEST_F(PlantedTree, CudaOutsideItsFolder) {
  write("engine/x.cc", "#include <cublas_v2.h>\n");
  EXPECT_EQ(only_violation(), "engine/x.cc:1: includes cublas_v2.h; only kernels/cuda knows CUDA");
}

TEST_F(PlantedTree, FolderThatTheRuleDoesNotKnow) {
  write("misc/x.cc", "");
  EXPECT_NE(only_violation().find("misc/x.cc: belongs to no folder"), std::string::npos);
}

TEST_F(PlantedTree, PublicFolderThatTheRuleDoesNotKnow) {
  write("include/vitrine/misc/misc.h", "");
  EXPECT_NE(only_violation().find("include/vitrine/misc/misc.h: belongs to no folder"),
            std::string::npos);
}

TEST_F(PlantedTree, HeaderThatIsNotThere) {
  write("base/b.cc", "#include \"base/gone.h\"\n");
  EXPECT_EQ(only_violation(), "base/b.cc:1: includes \"base/gone.h\", which is not in the tree");
}

TEST_F(PlantedTree, FileThatIsTooLong) {
  std::string text;
  for (int i = 0; i <= kMaxLines; ++i) text += "//\n";
  write("base/long.cc", text);
  EXPECT_EQ(only_violation(), "base/long.cc: has 601 lines; split what is over 600");
}

}  // namespace
}  // namespace vitrine
