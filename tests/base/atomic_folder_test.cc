// SPDX-License-Identifier: MIT
// A folder that appears whole or not at all.

#include "base/atomic_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

void put(const AtomicFolder& folder, const char* name) {
  std::ofstream(folder.path() / name) << "text";
}

TEST(AtomicFolder, AppearsWithItsFilesOnCommit) {
  TempFolder around;
  {
    AtomicFolder folder(around / "new");
    put(folder, "a");
    EXPECT_FALSE(fs::exists(around / "new"));
    folder.commit();
  }
  EXPECT_EQ(read_bytes(around / "new/a"), "text");
  EXPECT_EQ(around.count(), 1u) << "nothing else is left";
}

TEST(AtomicFolder, LeavesNothingWithoutCommit) {
  TempFolder around;
  {
    AtomicFolder folder(around / "new");
    put(folder, "a");
    fs::create_directories(folder.path() / "deeper");
  }
  EXPECT_EQ(around.count(), 0u);
}

TEST(AtomicFolder, TakesThePlaceOfAnEmptyFolder) {
  TempFolder around;
  fs::create_directory(around / "empty");
  fs::create_directory_symlink(around / "empty", around / "link");
  for (const char* name : {"empty", "empty/", "link"}) {
    fs::remove(around / "empty/a");
    AtomicFolder folder(around / name);
    put(folder, "a");
    folder.commit();
    EXPECT_EQ(read_bytes(around / "empty/a"), "text") << name;
    EXPECT_TRUE(fs::is_symlink(around / "link"));
  }
}

TEST(AtomicFolder, RefusesWhatIsInTheWay) {
  TempFolder around;
  fs::create_directory(around / "full");
  around.write("full/mine", "mine");
  around.write("file", "mine");
  const auto make = [&](const std::string& name, uint64_t bytes = 0) {
    return error_of([&] { AtomicFolder(around / name, bytes); });
  };
  EXPECT_TRUE(says(make("full"), "full", "not empty"));
  EXPECT_TRUE(says(make("file"), "file", "not a folder"));
  EXPECT_TRUE(says(make("nowhere/new"), "nowhere", "No such file"));
  EXPECT_TRUE(says(make("new", std::numeric_limits<uint64_t>::max()), "new", "free"));
  EXPECT_TRUE(says(error_of([] { AtomicFolder(""); }), "empty"));
  EXPECT_EQ(around.count(), 2u);
  EXPECT_EQ(read_bytes(around / "full/mine"), "mine");
}

TEST(AtomicFolder, WhatCameInTheMeantimeStays) {
  TempFolder around;
  AtomicFolder folder(around / "new");
  put(folder, "a");
  fs::create_directory(around / "new");
  around.write("new/mine", "mine");
  EXPECT_TRUE(says(error_of([&] { folder.commit(); }), "new", "not empty"));
  EXPECT_EQ(read_bytes(around / "new/mine"), "mine");
  EXPECT_FALSE(fs::exists(around / "new/a"));
}

}  // namespace
}  // namespace vitrine::testing
