// SPDX-License-Identifier: MIT
#include "bench/measure/scratch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

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

namespace {

/// Calls `see` with a descriptor of each file below a folder.
template <typename See>
void for_each_file(const std::filesystem::path& folder, const See& see) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) system_failure(errno, entry.path().string(), "cannot be read");
    see(file);
    close(file);
  }
}

}  // namespace

void drop_cached(const std::filesystem::path& folder) {
  for_each_file(folder, [](int file) { posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED); });
}

double disk_read_rate(const std::filesystem::path& folder) {
  drop_cached(folder);
  std::vector<char> buffer(size_t{1} << 20);
  double bytes = 0;
  const double start = now();
  for_each_file(folder, [&](int file) {
    for (ssize_t count = 1; count > 0; bytes += static_cast<double>(count)) {
      count = read(file, buffer.data(), buffer.size());
      if (count < 0) system_failure(errno, folder.string(), "cannot be read");
    }
  });
  return bytes / (now() - start);
}

}  // namespace vitrine::bench
