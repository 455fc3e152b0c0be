// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>

namespace vitrine {

/// The only exception type that the library throws deliberately.
///
/// what() is one line for the user: what is wrong with which value, what was expected, and the fix.
/// The library never exits and never aborts on invalid input.
class Error : public std::runtime_error {
 public:
  enum class Kind {
    /// Invalid input: a file, flag, id, shape, pattern or config. Programs should exit with
    /// status 2.
    kUser,
    /// A defect of the library, or a failure of the machine (out of memory, failed write). Programs
    /// should exit with status 1.
    kInternal,
  };

  Error(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

}  // namespace vitrine
