// SPDX-License-Identifier: MIT
#include "engine/checkpoint/model_path.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/check.h"
#include "base/dangling_link.h"
#include "base/json.h"
#include "base/quote.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/config.h"

namespace fs = std::filesystem;

namespace vitrine::internal {
namespace {

std::optional<fs::path> environment(const char* name) {
  const char* value = std::getenv(name);
  if (!value || *value == '\0') return std::nullopt;
  return fs::path(value);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// ORG/NAME or NAME of the characters that the hub allows: nothing that could lead out of the cache.
bool is_inside_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '/';
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), allowed) && name.front() != '/' &&
         name.back() != '/' && name.find("..") == std::string_view::npos;
}

bool is_repository_name(std::string_view name) {
  return is_inside_name(name) && std::count(name.begin(), name.end(), '/') <= 1;
}

// A branch, a tag, a commit; "refs/pr/1".
bool is_revision(std::string_view name) { return is_inside_name(name); }

// The names under which the cache may hold the repository. The oldest models had no organisation
// and were given one later.
std::vector<std::string> repository_names(std::string_view name) {
  constexpr std::array<const char*, 5> kMoved = {
      "openai-community/gpt2", "openai-community/gpt2-medium", "openai-community/gpt2-large",
      "openai-community/gpt2-xl", "distilbert/distilgpt2"};
  std::vector<std::string> names = {std::string(name)};
  for (const std::string_view full : kMoved) {
    const std::string_view bare = full.substr(full.find('/') + 1);
    if (name == bare) names.emplace_back(full);
    if (name == full) names.emplace_back(bare);
  }
  return names;
}

/// The revisions of a repository in the cache, sorted.
std::vector<std::string> revisions_of(const fs::path& repository) {
  std::vector<std::string> all;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(repository / "snapshots", ignored)) {
    if (is_folder(entry.path())) all.push_back(entry.path().filename().string());
  }
  std::sort(all.begin(), all.end());
  return all;
}

/// The folder of the revision that refs/NAME says, if it is there.
std::optional<fs::path> referenced(const fs::path& repository, const std::string& name) {
  std::ifstream reference(repository / "refs" / name);
  std::string revision;
  if (!(reference >> revision) || revision.find('/') != std::string::npos || revision == "..")
    return std::nullopt;
  const fs::path folder = repository / "snapshots" / revision;
  return is_folder(folder) ? std::optional(folder) : std::nullopt;
}

/// The folder of the current revision, as refs/main says; else of the only one.
std::optional<fs::path> snapshot(const fs::path& repository) {
  if (auto current = referenced(repository, "main")) return current;
  const auto all = revisions_of(repository);
  return all.size() == 1 ? std::optional(repository / "snapshots" / all[0]) : std::nullopt;
}

/// The folder of a revision: a branch, a tag, or a commit or its beginning.
std::optional<fs::path> snapshot_of(const fs::path& repository, const std::string& revision) {
  if (auto named = referenced(repository, revision)) return named;
  std::vector<std::string> all = revisions_of(repository);
  if (std::ranges::count(all, revision) > 0) return repository / "snapshots" / revision;
  std::erase_if(all, [&](const std::string& one) { return !one.starts_with(revision); });
  constexpr size_t kLeast = 4;  // digits that tell a commit from another with some confidence
  const bool one = all.size() == 1 && revision.size() >= kLeast;
  return one ? std::optional(repository / "snapshots" / all[0]) : std::nullopt;
}

/// A config.json that says gpt2, as transformers writes it.
bool is_gpt2(const fs::path& folder) {
  try {
    const Json json = read_json(folder / "config.json");
    const Json type = json.is_object() ? json.value("model_type", Json()) : Json();
    return type == Json("gpt_neo") ||
           (type.is_string() && is_gpt2_type(type.get_ref<const std::string&>()));
  } catch (const Error&) {
    return false;
  }
}

bool has_weights(const fs::path& folder) {
  std::error_code ignored;
  return std::any_of(kCheckpointFiles.begin(), kCheckpointFiles.end(),
                     [&](const char* name) { return fs::exists(folder / name, ignored); });
}

uint64_t bytes_in(const fs::path& folder) {
  std::error_code ignored;
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (!entry.is_regular_file(ignored)) continue;  // of a link: what it leads to
    const uintmax_t size = entry.file_size(ignored);
    if (!ignored) bytes += size;
  }
  return bytes;
}

/// The shared library that this code is in; a program may be named by a relative path here.
fs::path own_library() {
  static const int here = 0;
  Dl_info info = {};
  const bool found = dladdr(&here, &info) != 0 && info.dli_fname != nullptr;
  return found && info.dli_fname[0] == '/' ? info.dli_fname : "";
}

fs::path own_program() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored);
}

/// The installed folder of data that belongs to a file in PREFIX/bin, PREFIX/lib/ARCH or
/// PREFIX/libexec/vitrine; a build folder has the same layout. Empty if there is none.
fs::path data_beside(const fs::path& file) {
  std::error_code error;
  fs::path folder = fs::canonical(file, error).parent_path();
  if (error) return {};
  for (int i = 0; i < 3; ++i, folder = folder.parent_path()) {
    const fs::path data = folder / VITRINE_DATA_DIR;
    if (is_folder(data / "models" / "demo")) return data;
  }
  return {};
}

fs::path demo_model() {
  if (const auto chosen = environment("VITRINE_DEMO_MODEL")) {
    if (is_folder(*chosen)) return *chosen;
    user_error("model 'demo': VITRINE_DEMO_MODEL is {}: expected a directory", chosen->string());
  }
  for (const fs::path& file : {own_library(), own_program()}) {
    if (const fs::path data = data_beside(file); !data.empty()) return data / "models" / "demo";
  }
  const fs::path installed = fs::path(VITRINE_INSTALLED_DATA_DIR) / "models" / "demo";
  if (is_folder(installed)) return installed;
  user_error(
      "missing model 'demo': expected {}/models/demo in the prefix of {}, or {}; or set "
      "VITRINE_DEMO_MODEL",
      VITRINE_DATA_DIR, own_program().string(), installed.string());
}

}  // namespace
}  // namespace vitrine::internal

namespace vitrine {
using namespace internal;

fs::path hub_home() {
  if (const auto home = environment("HF_HOME")) return *home;
  if (const auto cache = environment("XDG_CACHE_HOME")) return *cache / "huggingface";
  return environment("HOME").value_or("/") / ".cache" / "huggingface";
}

fs::path hub_cache() {
  if (const auto cache = environment("HF_HUB_CACHE")) return *cache;
  if (const auto cache = environment("HUGGINGFACE_HUB_CACHE")) return *cache;
  return hub_home() / "hub";
}

std::vector<CachedModel> cached_models() {
  constexpr std::string_view kPrefix = "models--";
  std::vector<CachedModel> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(hub_cache(), ignored)) {
    std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    name.erase(0, kPrefix.size());
    if (const size_t dashes = name.find("--"); dashes != std::string::npos)
      name.replace(dashes, 2, 1, '/');
    const auto folder = snapshot(entry.path());
    if (folder && is_gpt2(*folder) && has_weights(*folder))
      found.push_back({name, *folder, bytes_in(*folder)});
  }
  std::sort(found.begin(), found.end(),
            [](const CachedModel& a, const CachedModel& b) { return a.name < b.name; });
  return found;
}

}  // namespace vitrine

namespace vitrine::internal {

namespace {

[[noreturn]] void refuse_revision(std::string_view name, const std::string& repository,
                                  const std::vector<std::string>& revisions, bool wanted) {
  const std::string have = fmt::format("{}", fmt::join(revisions, ", "));
  if (wanted) user_error("unknown revision of model {}: the cache has {}", quote(name), have);
  user_error(
      "model {}: the cache has several revisions and none is main: {}: expected one; name it: "
      "{}@{}",
      quote(name), have, repository, revisions.front());
}

fs::path resolve_cached(std::string_view name) {
  const size_t at = name.find('@');
  const bool wanted = at != std::string_view::npos;
  const std::string revision(wanted ? name.substr(at + 1) : "");
  std::vector<std::string> looked;
  for (const std::string& repository : repository_names(name.substr(0, at))) {
    std::string dashed = repository;
    if (const size_t slash = dashed.find('/'); slash != std::string::npos)
      dashed.replace(slash, 1, "--");
    const fs::path folder = hub_cache() / ("models--" + dashed);
    if (const auto found = wanted ? snapshot_of(folder, revision) : snapshot(folder)) return *found;
    if (const auto all = revisions_of(folder); !all.empty())
      refuse_revision(name, repository, all, wanted);
    looked.push_back(folder.string());
  }
  user_error(
      "unknown model {}: no such file or directory, and not in the Hugging Face cache; searched "
      "{}; `vitrine pull {}` downloads it from the hub",
      quote(name), fmt::join(looked, ", "), name);
}

}  // namespace

fs::path resolve_model(std::string_view name) {
  std::error_code ignored;
  const fs::path path(name);
  if (!name.empty() && fs::exists(path, ignored)) {
    // A repository's own folder of the cache gives its current revision.
    const bool repository = is_folder(path / "snapshots") && is_folder(path / "blobs");
    return repository ? snapshot(path).value_or(path) : path;
  }
  refuse_dangling_link(path);
  if (name == "demo") return demo_model();
  const size_t at = name.find('@');
  const bool named = is_repository_name(name.substr(0, at)) &&
                     (at == std::string_view::npos || is_revision(name.substr(at + 1)));
  if (!named) {
    user_error(
        "unknown model {}: no such file or directory, and not a model name: expected NAME, "
        "ORGANISATION/NAME or either with @REVISION",
        quote(name));
  }
  return resolve_cached(name);
}

fs::path resolve_adapter(const fs::path& name) {
  if (name.empty()) return {};
  try {
    return resolve_model(name.string());
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("`adapter`: {}", error.what()));
  }
}

}  // namespace vitrine::internal
