// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "base/json.h"
#include "cli/pull/http.h"
#include "cli/pull/repository.h"

// The questions that are put to the Hugging Face hub, or what answers as it does.

namespace vitrine::cli {
using namespace internal;

/// HF_ENDPOINT, the token (HF_TOKEN, or the file that `hf auth login` writes) and
/// HF_HUB_DOWNLOAD_TIMEOUT, by the rules of huggingface_hub. Throws Error (user) for invalid
/// values, and where HF_HUB_OFFLINE forbids to ask at all.
HttpSettings hub_settings();

/// A revision's commit and files.
struct HubListing {
  std::string commit;           ///< 40 hexadecimal digits
  std::set<std::string> files;  ///< checked by problem_of_path()
};

/// A file as the server describes it. What was downloaded is held to it.
struct HubFile {
  std::string name;
  std::string etag;  ///< checksum, see digest.h
  uint64_t bytes = 0;
};

/// One file or listing that tries are spent on: at most 5 in a row without progress, with pauses
/// that grow, or as long as the server wants.
class Tries {
 public:
  /// Waits before another try, or throws the failure `answer`. Throws Interrupted when stopped.
  void wait_after(const HttpAnswer& answer, const std::atomic<bool>& stop,
                  const std::function<void(const HttpAnswer&)>& fail);
  /// Something worthwhile arrived: counts from 0 again.
  void renew() { used_ = 0; }

 private:
  int used_ = 0;
};

/// Asks about one repository.
class Hub {
 public:
  Hub(const HttpSettings& settings, Repository repository)
      : settings_(settings), repository_(std::move(repository)) {}

  HubListing list(HttpClient& client) const;
  HubFile describe(HttpClient& client, const std::string& commit, const std::string& file) const;
  std::string address(const std::string& commit, const std::string& file) const;
  /// Throws what an answer means for the user who wanted `file`; empty: the repository.
  [[noreturn]] void fail(const HttpAnswer& answer, const std::string& file) const;
  const Repository& repository() const { return repository_; }

 private:
  /// Tries until there is an answer that another try would not better.
  HttpAnswer ask(HttpClient& client, const HttpRequest& request, const std::string& file) const;
  /// The same, of what is JSON.
  Json ask_json(HttpClient& client, HttpAnswer& answer, const std::string& url) const;
  /// Adds what a list of the hub names in `field`.
  void add_files(HubListing& listing, const Json& files, const char* field,
                 const std::string& origin) const;
  [[noreturn]] void fail_without_access(const HttpAnswer& answer) const;
  [[noreturn]] void fail_as_unknown(const HttpAnswer& answer, const std::string& file) const;

  const HttpSettings& settings_;
  Repository repository_;
};

}  // namespace vitrine::cli
