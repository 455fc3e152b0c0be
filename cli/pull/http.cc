// SPDX-License-Identifier: MIT
#include "cli/pull/http.h"

#include <algorithm>
#include <exception>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "cli/core/interrupt.h"
#include "vitrine/version.h"

namespace vitrine::cli {
using namespace internal;

struct HttpClient::Transfer {
  const HttpRequest& request;
  const std::atomic<bool>& stop;
  HttpAnswer answer = {};
  std::exception_ptr thrown = nullptr;
  size_t unwanted = 0;  ///< bytes of a body that says nothing: of a redirect, of an error
  bool enough = false;  ///< more of it is not read
};

namespace {

constexpr int kMaxRedirects = 10;
constexpr long kConnectSeconds = 10;
constexpr size_t kMaxUnwanted = 1 << 20;

/// Codes that say that the connection failed, and not what was requested.
bool is_passing(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR:
      return true;
    default:
      return false;
  }
}

bool is_passing(long status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

std::string without_spaces(std::string_view text) {
  constexpr const char* kSpaces = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin));
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

/// A line of headers. A status line begins another answer: "100 Continue" comes before the real
/// one.
void add_header(HttpAnswer& answer, std::string_view line) {
  if (line.starts_with("HTTP/")) {
    answer.headers.clear();
    const size_t space = line.find(' ');
    answer.status = space == std::string_view::npos
                        ? 0
                        : std::strtol(std::string(line.substr(space)).c_str(), nullptr, 10);
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  answer.headers[lower(without_spaces(line.substr(0, colon)))] =
      without_spaces(line.substr(colon + 1));
}

/// A part of an address by libcurl's parser; empty where it has none.
std::string part_of(const std::string& url, CURLUPart part, unsigned flags = 0) {
  const CurlLibrary& curl = curl_library();
  const std::unique_ptr<CURLU, decltype(curl.url_cleanup)> parsed(curl.url(), curl.url_cleanup);
  if (!parsed || curl.url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return {};
  char* text = nullptr;
  if (curl.url_get(parsed.get(), part, &text, flags) != CURLUE_OK) return {};
  const std::unique_ptr<char, decltype(curl.free)> owned(text, curl.free);
  return text;
}

}  // namespace

std::string HttpAnswer::header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

std::string origin_of(const std::string& url) {
  const std::string scheme = part_of(url, CURLUPART_SCHEME);
  const std::string host = lower(part_of(url, CURLUPART_HOST));
  if ((scheme != "http" && scheme != "https") || host.empty()) return {};
  if (!part_of(url, CURLUPART_USER).empty() || !part_of(url, CURLUPART_PASSWORD).empty()) return {};
  return scheme + "://" + host + ":" + part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

void throw_if_stopped(const std::atomic<bool>& stop) {
  if (stop || interrupted()) throw Interrupted{};
}

HttpClient::HttpClient(const HttpSettings& settings, const std::atomic<bool>& stop)
    : settings_(settings),
      stop_(stop),
      trusted_(origin_of(settings.endpoint)),
      handle_(curl_library().easy_init(), curl_library().easy_cleanup) {
  if (trusted_.empty()) {
    user_error("invalid HF_ENDPOINT {}: expected http(s)://HOST[:PORT][/PATH]",
               quote(settings.endpoint));
  }
  if (!handle_) internal_error("libcurl cannot open a connection: out of memory");
}

HttpAnswer HttpClient::ask(HttpRequest request) {
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    std::string redirect;
    HttpAnswer answer = ask_once(request, redirect);
    if (!answer.failure.empty() || redirect.empty()) return answer;
    const std::string origin = origin_of(redirect);
    const bool describes =
        answer.headers.contains("x-linked-etag") && answer.headers.contains("x-linked-size");
    if (request.head && describes) {
      answer.status = 200;
      return answer;
    }
    if (origin.empty() || (answer.origin.starts_with("https:") && !origin.starts_with("https:"))) {
      answer.failure = "leads to " + (origin.empty() ? "an invalid address" : origin) +
                       ": expected an address of " +
                       answer.origin.substr(0, answer.origin.find(':'));
      return answer;
    }
    request.url = redirect;
  }
  HttpAnswer answer;
  answer.origin = origin_of(request.url);
  answer.failure = fmt::format("leads from address to address more than {} times", kMaxRedirects);
  return answer;
}

namespace {

size_t take_header(char* data, size_t size, size_t count, void* answer) {
  add_header(*static_cast<HttpAnswer*>(answer), std::string_view(data, size * count));
  return size * count;
}

using Headers = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

void add_line(Headers& headers, const std::string& line) {
  const CurlLibrary& curl = curl_library();
  curl_slist* longer = curl.slist_append(headers.get(), line.c_str());
  if (!longer) internal_error("out of memory for a request's headers");
  (void)headers.release();  // it is part of the longer one
  headers.reset(longer);
}

}  // namespace

size_t HttpClient::take_body(char* data, size_t size, size_t count, void* to) {
  auto& [request, stop, answer, thrown, unwanted, enough] = *static_cast<Transfer*>(to);
  const std::span bytes(data, size * count);
  if (answer.status != 200 && answer.status != 206) {
    unwanted += bytes.size();
    enough = unwanted > kMaxUnwanted;
    return enough ? 0 : bytes.size();
  }
  try {
    if (request.sink) {
      request.sink(answer, std::as_bytes(bytes));
    } else {
      if (answer.body.size() + bytes.size() > kMaxJsonBytes) {
        internal_error("{}: sends more than {}: expected a short answer", answer.origin,
                       human_bytes(kMaxJsonBytes));
      }
      answer.body.append(bytes.data(), bytes.size());
    }
  } catch (...) {
    thrown = std::current_exception();
    return 0;
  }
  return bytes.size();
}

int HttpClient::check_stop(void* data, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(data)->stop || interrupted() ? 1 : 0;
}

void HttpClient::prepare(Transfer& transfer, const curl_slist* headers) {
  CURL* handle = handle_.get();
  const auto set = curl_library().easy_setopt;
  curl_library().easy_reset(handle);
  set(handle, CURLOPT_URL, transfer.request.url.c_str());
  set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  set(handle, CURLOPT_FOLLOWLOCATION, 0L);
  set(handle, CURLOPT_NOSIGNAL, 1L);
  set(handle, CURLOPT_NOBODY, transfer.request.head ? 1L : 0L);
  set(handle, CURLOPT_USERAGENT, "vitrine/" VITRINE_VERSION);
  set(handle, CURLOPT_HTTPHEADER, headers);
  set(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(handle, CURLOPT_LOW_SPEED_TIME, static_cast<long>(settings_.timeout.count()));
  set(handle, CURLOPT_HEADERFUNCTION, &take_header);
  set(handle, CURLOPT_HEADERDATA, &transfer.answer);
  set(handle, CURLOPT_WRITEFUNCTION, &take_body);
  set(handle, CURLOPT_WRITEDATA, &transfer);
  set(handle, CURLOPT_NOPROGRESS, 0L);
  set(handle, CURLOPT_XFERINFOFUNCTION, &check_stop);
  set(handle, CURLOPT_XFERINFODATA, &transfer);
}

HttpAnswer HttpClient::ask_once(const HttpRequest& request, std::string& redirect) {
  const CurlLibrary& curl = curl_library();
  Transfer transfer{request, stop_};
  HttpAnswer& answer = transfer.answer;
  answer.origin = origin_of(request.url);
  Headers headers(nullptr, curl.slist_free_all);
  add_line(headers, "Accept-Encoding: identity");  // else sizes are those of packed bytes
  if (!settings_.token.empty() && answer.origin == trusted_)
    add_line(headers, "Authorization: Bearer " + settings_.token);
  if (request.from > 0) add_line(headers, fmt::format("Range: bytes={}-", request.from));
  prepare(transfer, headers.get());

  const CURLcode code = curl.easy_perform(handle_.get());
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  throw_if_stopped(stop_);
  if (code != CURLE_OK && !transfer.enough) {
    answer.failure = curl.easy_strerror(code);
    answer.passing = is_passing(code);
    return std::move(answer);
  }
  answer.passing = is_passing(answer.status);
  curl_off_t seconds = 0;
  if (curl.easy_getinfo(handle_.get(), CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
    answer.retry_after = seconds;
  char* next = nullptr;
  if (answer.status / 100 == 3 &&
      curl.easy_getinfo(handle_.get(), CURLINFO_REDIRECT_URL, &next) == CURLE_OK && next)
    redirect = next;
  return std::move(answer);
}

}  // namespace vitrine::cli
