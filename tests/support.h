// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "vitrine/error.h"

namespace vitrine::test {

/// Runs `action`, which must throw a user's Error, and gives its line.
inline std::string user_error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::kUser) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos)
        << "more than one line: " << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

}  // namespace vitrine::test

/// `action` throws a user's Error whose one line holds every one of the given words.
#define EXPECT_USER_ERROR(action, ...)                                                      \
  do {                                                                                      \
    const std::string line_ = vitrine::test::user_error_of([&] { action; });                \
    for (const char* word_ : {__VA_ARGS__})                                                 \
      EXPECT_NE(line_.find(word_), std::string::npos) << "'" << word_ << "' in: " << line_; \
  } while (false)
