// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cli/pull/libraries.h"

namespace vitrine::cli {

/// What a server answered, or why none did.
struct HttpAnswer {
  long status = 0;                                          ///< 0: no answer
  std::map<std::string, std::string, std::less<>> headers;  ///< names in lower case
  std::string body;                                         ///< where the request has no `sink`
  std::string failure;       ///< of the connection, in words; empty: the answer arrived whole
  bool passing = false;      ///< another try may succeed
  int64_t retry_after = -1;  ///< seconds that the server wants to have waited; -1: unknown
  std::string origin;        ///< scheme, host and port that answered

  bool good() const { return failure.empty() && status / 100 == 2; }
  /// Empty where there is none.
  std::string header(std::string_view name) const;
};

struct HttpRequest {
  std::string url;
  bool head = false;  ///< headers alone; a redirect that has X-Linked-Etag and X-Linked-Size is
                      ///< the answer
  uint64_t from = 0;  ///< first byte that is requested
  /// Receives the body of an answer of 200 or 206, piece by piece. What it throws ends the request
  /// and is thrown again. Without it the body is kept, up to 64 MB.
  std::function<void(const HttpAnswer&, std::span<const std::byte>)> sink = {};
};

/// Who asks whom.
struct HttpSettings {
  std::string endpoint;  ///< "https://huggingface.co", without a slash at its end
  std::string token;     ///< sent to the endpoint's scheme, host and port alone; empty: none
  std::chrono::seconds timeout{10};  ///< longest silence of a server
};

/// One connection at a time. Redirects are followed here, one request after the other, so that the
/// token reaches no other host. Not for several threads.
class HttpClient {
 public:
  /// `stop`: ends what runs, as Ctrl-C does. Both must outlive this. Throws Error (user) for an
  /// invalid endpoint.
  HttpClient(const HttpSettings& settings, const std::atomic<bool>& stop);

  /// One try. Throws Interrupted when it was stopped.
  HttpAnswer ask(HttpRequest request);
  const std::atomic<bool>& stop() const { return stop_; }

 private:
  struct Transfer;
  static size_t take_body(char* data, size_t size, size_t count, void* to);
  static int check_stop(void* data, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
  void prepare(Transfer& transfer, const curl_slist* headers);
  HttpAnswer ask_once(const HttpRequest& request, std::string& redirect);

  const HttpSettings& settings_;
  const std::atomic<bool>& stop_;
  std::string trusted_;  ///< the origin that may have the token
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle_;
};

/// "https://huggingface.co:443"; empty for another address than http or https, or names a user.
std::string origin_of(const std::string& url);

/// Throws Interrupted after Ctrl-C, or when `stop` was set because another thread has failed.
void throw_if_stopped(const std::atomic<bool>& stop);

}  // namespace vitrine::cli
