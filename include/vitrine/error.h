// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>

namespace vitrine {

/// The one exception type that the library throws on purpose.
///
/// `what()` is one line that names the thing, the value and the fix, fit to be shown to the person
/// who ran the program. The library never exits and never aborts on bad input.
class Error : public std::runtime_error {
 public:
  enum class Kind {
    kUser,  ///< bad input: a file, flag, id, shape, pattern or config. A program should exit with
            ///< status 2.
    kInternal,  ///< our fault or the machine's (out of memory, a failed write). A program should
                ///< exit with status 1.
  };

  Error(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

}  // namespace vitrine
