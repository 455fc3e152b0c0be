// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace vitrine::testing {

struct HubRequest {
  std::string method, path;
  std::map<std::string, std::string> headers;  ///< names in lower case
  int times = 1;  ///< how often this method and path were requested, this time included

  /// First byte of a range; 0 without one.
  uint64_t from() const;
};

struct HubReply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  std::optional<uint64_t> length = {};  ///< what Content-Length says, if not the truth
  size_t cut = SIZE_MAX;                ///< bytes of the body after which the connection is cut
  bool stalls = false;                  ///< then nothing comes, until the client goes
};

/// A Hugging Face hub of one repository, org/tiny, on this machine. Git LFS files are redirected to
/// /cdn/SHA256 of `cdn`, as the real one does.
class HubServer {
 public:
  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

  HubServer();
  ~HubServer();
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  /// `git_sha1`: of a file that Git keeps itself, as `git hash-object` prints it; empty: Git LFS.
  void add_file(const std::string& name, const std::string& contents,
                const std::string& git_sha1 = "");
  /// The checksum that names a file's blob.
  std::string etag(const std::string& name) const { return files_.at(name).etag; }

  std::string cdn;  ///< another server's url(), which has this one's files; empty: this one
  /// What is done instead of what a hub does; nothing: what a hub does. Set before a client asks.
  std::function<std::optional<HubReply>(const HubRequest&)> instead;
  /// What a hub does.
  HubReply usual(const HubRequest& request) const;

  std::vector<HubRequest> requests() const;
  /// Those that begin with this method and path.
  size_t count(const std::string& method, const std::string& path) const;

 private:
  struct File {
    std::string contents, etag;
    bool lfs = false;
  };

  void accept_clients();
  void serve(int client);
  void send(int client, const HubRequest& request, const HubReply& reply) const;
  HubReply listing() const;
  HubReply resolved(const HubRequest& request, const std::string& name) const;

  std::map<std::string, File> files_;
  int socket_ = -1, port_ = 0;
  std::atomic<bool> ends_ = false;
  mutable std::mutex mutex_;
  std::vector<HubRequest> requests_;
  std::vector<std::thread> threads_;
  std::thread accepting_;
};

}  // namespace vitrine::testing
