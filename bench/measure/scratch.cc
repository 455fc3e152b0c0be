// SPDX-License-Identifier: MIT
#include "bench/measure/scratch.h"

#include <stdlib.h>

#include <cerrno>
#include <span>
#include <system_error>
#include <vector>

#include "base/atomic_file.h"
#include "base/system_error.h"
#include "bench/measure/random_matrix.h"
#include "bench/measure/timing.h"

namespace vitrine::bench {
using namespace internal;

Scratch::Scratch(const std::filesystem::path& where) {
  const std::filesystem::path parent =
      where.empty() ? std::filesystem::temp_directory_path() : where;
  std::string pattern = (parent / "vitrine-bench-XXXXXX").string();
  if (!mkdtemp(pattern.data())) {
    system_failure(errno, parent.string(), "cannot create a folder (--scratch names another)");
  }
  path_ = pattern;
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

double disk_write_rate(const std::filesystem::path& folder, size_t bytes) {
  const std::vector<float> values = random_values(static_cast<int64_t>(bytes / sizeof(float)), 6);
  const std::filesystem::path path = folder / "written";
  const double start = now();
  {
    AtomicFile file(path);
    file.append(std::as_bytes(std::span(values)));
    file.commit();
  }
  const double seconds = now() - start;
  std::filesystem::remove(path);
  return static_cast<double>(values.size() * sizeof(float)) / seconds;
}

}  // namespace vitrine::bench
