// SPDX-License-Identifier: MIT
#include "cli/core/option_checks.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>

#include "base/nearest_names.h"
#include "base/quote.h"
#include "cli/core/output_files.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// "a, b or c"
std::string alternatives(const std::vector<std::string>& names) {
  if (names.size() < 2) return fmt::format("{}", fmt::join(names, ""));
  return fmt::format("{} or {}", fmt::join(names.begin(), names.end() - 1, ", "), names.back());
}

std::string invalid(const std::string& value, const std::string& expected) {
  return fmt::format("invalid value {}: expected {}", quote(value), expected);
}

/// std::errc() where all of the text is a number that T holds.
template <typename T>
std::errc read(std::string_view text, T& to) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
  return end == text.data() + text.size() ? error : std::errc::invalid_argument;
}

/// What a T may be, in words.
template <typename T>
std::string expected_number(std::errc error) {
  using Limits = std::numeric_limits<T>;
  const bool out_of_range = error == std::errc::result_out_of_range;
  if constexpr (std::is_floating_point_v<T>) {
    return !out_of_range ? "a number"
                         : fmt::format("0, or a number of magnitude {:.2g} to {:.2g}",
                                       Limits::denorm_min(), Limits::max());
  }
  // from_chars takes no sign for an unsigned number: -1 is too small for a reader.
  if (std::is_unsigned_v<T> && !out_of_range) return "a number >= 0";
  return !out_of_range ? "a whole number"
                       : fmt::format("a whole number from {} to {}", Limits::min(), Limits::max());
}

Check number_check(bool (*accepts)(double), const char* wanted) {
  return Check([=](const std::string& text) -> std::string {
    double value = 0;
    return read(text, value) == std::errc() && accepts(value) ? "" : invalid(text, wanted);
  });
}

template <typename T>
Check range(T min, T max) {
  return Check([=](const std::string& text) -> std::string {
    T value{};
    if (read(text, value) == std::errc() && value >= min && value <= max) return "";
    return invalid(text, fmt::format("{} to {}", min, max));
  });
}

/// What may follow an option's name: "--mode maps, rollout or flow", "--out FILE".
std::string expected_after(const CLI::Option& option) {
  const std::vector<std::string> choices = choices_of(option);
  return option.get_name() + " " + (choices.empty() ? value_name(option) : alternatives(choices));
}

std::string unknown_option(const std::string& word, const CLI::App& app) {
  const std::string name = word.substr(0, word.find('='));
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options({})) {
    if (option->get_group().empty()) continue;
    for (const std::string& long_name : option->get_lnames()) names.push_back("--" + long_name);
  }
  const std::vector<std::string> near = nearest_names(name, names, 1);
  return fmt::format("unknown option {}: the nearest is {}", quote(name), fmt::join(near, ""));
}

/// Words that belong to no option.
std::string extra_words(const std::vector<std::string>& words, const CLI::App& app) {
  const auto is_option = [](const std::string& word) {
    return word.starts_with('-') && word.size() > 1;
  };
  const auto option = std::find_if(words.begin(), words.end(), is_option);
  if (option == words.begin() || !app.get_option_no_throw("--prompt")) {
    if (option != words.end()) return unknown_option(*option, app);
    return fmt::format("unexpected argument {}", quote(words.front()));
  }
  const std::string text = fmt::format("{}", fmt::join(words.begin(), option, " "));
  return fmt::format("unexpected text {}: expected --prompt {}", quote(text), shell_word(text));
}

}  // namespace

Check::Check(std::function<std::string(const std::string&)> problem)
    : validator_(std::make_shared<const CLI::Validator>(std::move(problem), "")) {}
Check::Check(std::shared_ptr<const CLI::Validator> validator) : validator_(std::move(validator)) {}

Check one_of(std::initializer_list<const char*> names) {
  return one_of(std::vector<std::string>(names.begin(), names.end()));
}

Check one_of(const std::vector<std::string>& names) {
  const auto problem = [names](const std::string& value) -> std::string {
    if (std::find(names.begin(), names.end(), value) != names.end()) return "";
    return invalid(value, alternatives(names));
  };
  // choices_of() reads the names from the description.
  return Check(std::make_shared<const CLI::Validator>(
      problem, fmt::format("{{{}}}", fmt::join(names, ","))));
}

Check in_range(int min, int max) { return range(min, max); }
Check in_range(int64_t min, int64_t max) { return range(min, max); }
Check in_range(double min, double max) { return range(min, max); }

Check not_negative() {
  return number_check([](double value) { return value >= 0; }, "a number >= 0");
}

Check above_zero() {
  return number_check([](double value) { return value > 0; }, "a number > 0");
}

template <typename T>
CLI::Option* decimal(CLI::Option* option) {
  return option->transform(CLI::Validator(
      [](std::string& text) -> std::string {
        T value{};
        const std::errc error = read(text, value);
        if (text.empty()) return "";  // another check's
        if (error != std::errc()) return invalid(text, expected_number<T>(error));
        // CLI11 reads a whole number with a leading 0 as octal.
        if constexpr (std::is_integral_v<T>) text = std::to_string(value);
        return "";
      },
      ""));
}
template CLI::Option* decimal<int>(CLI::Option*);
template CLI::Option* decimal<int64_t>(CLI::Option*);
template CLI::Option* decimal<uint64_t>(CLI::Option*);
template CLI::Option* decimal<float>(CLI::Option*);
template CLI::Option* decimal<double>(CLI::Option*);

std::string value_name(const CLI::Option& option) {
  if (option.get_type_size() == 0) return "";
  const std::string type = option.get_type_name();
  // After a colon CLI11 describes the checks; the option's own text does that better.
  return type.substr(0, type.find(':'));
}

std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find(":{"), end = type.find('}', begin);
  if (end == std::string::npos) return {};
  return CLI::detail::split(type.substr(begin + 2, end - begin - 2), ',');
}

std::string words_of(const CLI::ParseError& error, const CLI::App& app) {
  const std::string words = error.what();
  // Before a missing option: it may be one that is misspelt.
  if (!app.remaining().empty()) return extra_words(app.remaining(), app);
  const std::string name = words.substr(0, words.find(": "));
  const CLI::Option* option = app.get_option_no_throw(name);
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) && option) {
    if (option->results().size() > 1)
      return fmt::format("{} is given {} times: expected it once", name, option->results().size());
    return fmt::format("{}: missing value: expected {}", name, expected_after(*option));
  }
  return words;
}

}  // namespace vitrine::cli
