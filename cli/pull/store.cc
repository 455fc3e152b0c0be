// SPDX-License-Identifier: MIT
#include "cli/pull/store.h"

#include <unistd.h>

#include <fstream>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/system_error.h"

namespace vitrine::cli {
using namespace internal;
namespace {

namespace fs = std::filesystem;

/// Tells programs that make backups to leave the cache out (bford.info/cachedir); the text is
/// huggingface_hub's, which writes the same file.
constexpr std::string_view kCacheTag =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by huggingface_hub.\n"
    "# For information about cache directory tags, see:\n"
    "#\thttps://bford.info/cachedir/\n";

std::string folder_name(std::string name) {
  if (const size_t slash = name.find('/'); slash != std::string::npos) name.replace(slash, 1, "--");
  return "models--" + name;
}

void create_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) system_failure(error.value(), folder.string(), "cannot be created");
}

}  // namespace

HubStore::HubStore(const fs::path& cache, const std::string& name, std::string commit)
    : cache_(cache),
      folder_(cache / folder_name(name)),
      locks_(cache / ".locks" / folder_name(name)),
      commit_(std::move(commit)) {}

fs::path HubStore::incomplete(const HubFile& file) const {
  return folder_ / "blobs" / (file.etag + ".incomplete");
}

fs::path HubStore::lock(const HubFile& file) const { return locks_ / (file.etag + ".lock"); }

bool HubStore::has(const HubFile& file) const {
  std::error_code error;
  const uintmax_t size = fs::file_size(blob(file), error);
  return !error && size == file.bytes;
}

void HubStore::create() const {
  for (const fs::path& folder : {folder_ / "blobs", folder_ / "refs", snapshot(), locks_})
    create_folders(folder);
  std::error_code ignored;
  if (!fs::exists(cache_ / "CACHEDIR.TAG", ignored)) write_file(cache_ / "CACHEDIR.TAG", kCacheTag);
}

// A link that is there already is replaced in one step, so that a reader finds the old file or the
// new one.
void HubStore::link(const HubFile& file) const {
  const fs::path pointer = snapshot() / file.name;
  create_folders(pointer.parent_path());
  const fs::path target = blob(file).lexically_relative(pointer.parent_path());
  std::error_code error;
  if (fs::read_symlink(pointer, error) == target && !error) return;
  const fs::path temporary =
      pointer.parent_path() / fmt::format(".vitrine-{}-{}.tmp", getpid(), file.etag);
  fs::remove(temporary, error);
  fs::create_symlink(target, temporary, error);
  if (!error) fs::rename(temporary, pointer, error);
  if (!error) return;
  const int reason = error.value();
  fs::remove(temporary, error);
  system_failure(reason, pointer.string(), "cannot be created as a link");
}

void HubStore::set_reference(const std::string& revision) const {
  if (revision == commit_) return;
  const fs::path path = folder_ / "refs" / revision;
  create_folders(path.parent_path());
  std::string present;
  std::ifstream(path) >> present;
  if (present != commit_) write_file(path, commit_);
}

uint64_t HubStore::free_bytes() const {
  std::error_code error;
  fs::path folder = fs::absolute(cache_, error);
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  const fs::space_info space = fs::space(folder, error);
  return error ? UINT64_MAX : space.available;
}

}  // namespace vitrine::cli
