// SPDX-License-Identifier: MIT
// Documents that repeat what the code says are held to it.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/base/test_files.h"
#include "vitrine/sites.h"

namespace vitrine {
namespace {

const std::filesystem::path kRoot = VITRINE_SOURCE_DIR;

// The table of docs/SITES.md. If the table of sites has changed, put this into the document.
std::string site_table() {
  std::string table = "| site | shape | what it is |\n|---|---|---|\n";
  for (const SiteInfo& info : kSites) {
    table += "| `" + std::string(info.per_layer ? "blocks.L." : "") + std::string(info.name) +
             "` | " + std::string(site_shape_text(info.shape)) + " | " + std::string(info.note) +
             " |\n";
  }
  return table;
}

TEST(Docs, SitesPageHasTheTableOfSites) {
  const std::string page = testing::read_bytes(kRoot / "docs" / "SITES.md");
  const size_t begin = page.find("| site |");
  ASSERT_NE(begin, std::string::npos) << "docs/SITES.md has no table; it should hold:\n"
                                      << site_table();
  const size_t end = page.find("\n\n", begin);
  EXPECT_EQ(page.substr(begin, end == std::string::npos ? end : end + 1 - begin), site_table());
}

// The program in the README is the one that the install test compiles outside the tree and runs.
TEST(Docs, ReadmeShowsTheProgramThatTheInstallTestBuilds) {
  const std::string program =
      testing::read_bytes(kRoot / "tests" / "install" / "consumer" / "main.cc");
  ASSERT_FALSE(program.empty());
  const std::string readme = testing::read_bytes(kRoot / "README.md");
  EXPECT_NE(readme.find("```cpp\n" + program + "```\n"), std::string::npos)
      << "README.md does not show:\n"
      << program;
}

}  // namespace
}  // namespace vitrine
