// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/base/test_files.h"
#include "vitrine/error.h"
#include "vitrine/model.h"

namespace vitrine::testing {
using namespace internal;

inline std::filesystem::path golden_folder(const std::string& name) {
  return std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / name;
}

/// A model of an odd shape, small enough to run hundreds of times.
inline Model small_model() {
  Config config;
  config.layers = 3;
  config.heads = 2;
  config.width = 24;
  config.inner = 40;
  config.vocab = 61;
  config.context = 12;
  return Model::random(config, 5, {.threads = 2});
}

inline std::vector<int32_t> some_ids(size_t count, uint64_t seed = 1, int32_t vocab = 61) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>(mix64(seed * 1000 + i) % static_cast<uint64_t>(vocab)));
  return ids;
}

/// The message of the user error that `function` throws; fails the test if it throws none.
template <typename Function>
std::string user_error_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::kUser) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

/// Names of what is in a folder.
inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    found.push_back(entry.path().filename().string());
  return found;
}

}  // namespace vitrine::testing
