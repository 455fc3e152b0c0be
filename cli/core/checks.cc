// SPDX-License-Identifier: MIT
#include "cli/core/checks.h"

#include <fmt/format.h>

#include "base/quote.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// `wanted`: what `accepts` takes, in words.
CLI::Validator check(bool (*accepts)(double), const char* wanted) {
  const auto test = [=](const std::string& text) -> std::string {
    double value = 0;
    const bool number = CLI::detail::lexical_cast(text, value);
    return number && accepts(value) ? "" : fmt::format("{} is not {}", quote(text), wanted);
  };
  return {test, ""};
}

}  // namespace

CLI::Validator not_negative() {
  return check([](double value) { return value >= 0; }, "a number from 0");
}

CLI::Validator above_zero() {
  return check([](double value) { return value > 0; }, "a number above 0");
}

}  // namespace vitrine::cli
