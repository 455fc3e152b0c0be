// SPDX-License-Identifier: MIT
#include "cli/pull/pull.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/interrupt.h"
#include "cli/pull/digest.h"
#include "cli/pull/download.h"
#include "vitrine/checkpoint/model_cache.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr std::chrono::milliseconds kBetweenUpdates{50};

/// Threads with a connection each, which take one file after the other. The first error stops all.
class Crew {
 public:
  Crew(const HttpSettings& settings, size_t threads) : settings_(settings), threads_(threads) {}

  /// Calls `work` for each of `count` files, and `watch` now and then in this thread.
  void run(size_t count, const std::function<void(HttpClient&, size_t)>& work,
           const std::function<void()>& watch) {
    std::atomic<size_t> next = 0, running = std::min(threads_, count);
    std::vector<std::jthread> crew;
    const auto take_files = [&] {
      try {
        HttpClient client(settings_, stop_);
        for (size_t i = next++; i < count && !stop_; i = next++) work(client, i);
      } catch (const Interrupted&) {  // this thread's part of an end that another one began
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        stop_ = true;
      }
      --running;
    };
    for (size_t i = running; i > 0; --i) crew.emplace_back(take_files);
    try {
      while (running > 0) {
        watch();
        std::this_thread::sleep_for(kBetweenUpdates);
      }
    } catch (...) {
      stop_ = true;
      throw;  // the threads end first
    }
    crew.clear();
    stop_if_interrupted();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const HttpSettings& settings_;
  size_t threads_;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::exception_ptr error_;
};

/// The body of a short file, whole and with the right checksum. An index is needed before it is
/// known which files are.
std::string read_remote(HttpClient& client, const Hub& hub, const std::string& commit,
                        const HubFile& file) {
  Tries tries;
  for (;;) {
    const HttpAnswer answer = client.ask({.url = hub.address(commit, file.name)});
    if (answer.good()) {
      FileDigest digest(file.etag, answer.body.size());
      digest.add(std::as_bytes(std::span(answer.body)));
      if (digest.hex() == file.etag) return answer.body;
      internal_error(
          "{} of {}: the checksum of what was sent is not {}: the server, or something on "
          "the way, changed it; try again",
          quote(file.name), hub.repository().name, file.etag);
    }
    tries.wait_after(answer, client.stop(),
                     [&](const HttpAnswer& last) { hub.fail(last, file.name); });
  }
}

/// Names of files that threads have finished, for the thread that reports them.
class Finished {
 public:
  void add(const std::string& name) {
    const std::lock_guard lock(mutex_);
    names_.push_back(name);
  }
  void report(Progress& progress) {
    const std::lock_guard lock(mutex_);
    for (const std::string& name : names_) progress.finished(name);
    names_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> names_;
};

struct Wanted {
  std::string commit;
  std::vector<HubFile> files;
};

Wanted find_files(const HttpSettings& settings, const Hub& hub, size_t threads,
                  const std::function<void()>& watch) {
  const std::atomic<bool> never = false;
  HttpClient client(settings, never);
  const HubListing listing = hub.list(client);
  FileChoice choice = choose_files(listing.files, hub.repository().name);
  if (!choice.index.empty()) {
    const HubFile index = hub.describe(client, listing.commit, choice.index);
    const auto shards = shards_of(read_remote(client, hub, listing.commit, index),
                                  choice.index + " of " + hub.repository().name, listing.files);
    choice.files.insert(choice.files.end(), shards.begin(), shards.end());
  }
  std::sort(choice.files.begin(), choice.files.end());
  choice.files.erase(std::unique(choice.files.begin(), choice.files.end()), choice.files.end());
  Wanted wanted{listing.commit, std::vector<HubFile>(choice.files.size())};
  Crew(settings, threads)
      .run(
          choice.files.size(),
          [&](HttpClient& one, size_t i) {
            wanted.files[i] = hub.describe(one, listing.commit, choice.files[i]);
          },
          watch);
  return wanted;
}

void require_room(const HubStore& store, uint64_t missing) {
  const uint64_t free = store.free_bytes();
  if (missing <= free) return;
  internal_error("{}: has {} free: expected {}; free some, or set HF_HUB_CACHE to another disk",
                 hub_cache().string(), human_bytes(static_cast<double>(free)),
                 human_bytes(static_cast<double>(missing)));
}

}  // namespace

PullResult pull(const PullOptions& options, Progress& progress) {
  const HttpSettings settings = hub_settings();
  const Hub hub(settings, parse_repository(options.model, options.revision));
  const std::string& name = hub.repository().name;
  crypto_library();  // loads both libraries, before there are threads
  curl_library();
  const auto threads = static_cast<size_t>(options.parallel);
  const Wanted wanted =
      find_files(settings, hub, threads, [&] { progress.update(0, 0, "Asking for " + name); });

  const HubStore store(hub_cache(), name, wanted.commit);
  PullResult result{
      name, hub.repository().revision, wanted.commit, settings.endpoint, store.snapshot(), {}};
  uint64_t total = 0, missing = 0;
  for (const HubFile& file : wanted.files) {
    const bool present = store.has(file);
    result.files.push_back({file.name, file.etag, file.bytes, present});
    total += file.bytes;
    if (!present) missing += file.bytes;
  }
  if (options.dry_run) return result;
  require_room(store, missing);
  store.create();
  set_interruption_note("the same command resumes the download");
  std::atomic<uint64_t> arrived = 0;
  Finished finished;
  const auto report = [&] {
    progress.update(arrived, total, "Pulling " + name);
    finished.report(progress);
  };
  Crew(settings, threads)
      .run(
          wanted.files.size(),
          [&](HttpClient& client, size_t i) {
            download(client, hub, store, wanted.commit, wanted.files[i], arrived);
            finished.add(wanted.files[i].name);
          },
          report);
  report();
  for (const HubFile& file : wanted.files) store.link(file);
  store.set_reference(hub.repository().revision);
  set_interruption_note("");
  return result;
}

}  // namespace vitrine::cli
