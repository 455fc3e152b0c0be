// SPDX-License-Identifier: MIT
#include "cli/pull/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <system_error>
#include <thread>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "cli/core/interrupt.h"
#include "cli/pull/digest.h"
#include "vitrine/checkpoint/model_cache.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr const char* kPublicHub = "https://huggingface.co";
constexpr int kMaxTries = 5;
constexpr std::chrono::milliseconds kFirstPause{200};
constexpr std::chrono::seconds kLongestPause{60};
constexpr std::chrono::milliseconds kGlance{50};
constexpr int kMaxTimeout = 86400;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// As huggingface_hub reads a switch.
bool is_on(const char* name) {
  std::string value = environment(name);
  std::transform(value.begin(), value.end(), value.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

/// Without the spaces and ends of lines that a file or a copied text may have.
std::string clean_token(std::string text, const std::string& from) {
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r'; });
  while (!text.empty() && text.back() == ' ') text.pop_back();
  text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
  const auto printable = [](char c) { return c > ' ' && c <= '~'; };
  if (!std::all_of(text.begin(), text.end(), printable))
    user_error("{}: the token has characters that no token has; expected one like hf_...", from);
  return text;
}

std::string find_token() {
  if (is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return {};
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    if (std::string token = clean_token(environment(name), name); !token.empty()) return token;
  }
  const std::string chosen = environment("HF_TOKEN_PATH");
  const std::filesystem::path file =
      chosen.empty() ? hub_home() / "token" : std::filesystem::path(chosen);
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored) || std::filesystem::is_empty(file, ignored))
    return {};
  return clean_token(read_text(file.string()), file.string());
}

std::chrono::seconds find_timeout() {
  constexpr const char* kName = "HF_HUB_DOWNLOAD_TIMEOUT";
  const std::string text = environment(kName);
  if (text.empty()) return HttpSettings{}.timeout;
  int seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 1 ||
      seconds > kMaxTimeout) {
    user_error("invalid {} {}: expected seconds, a whole number from 1 to {}", kName, quote(text),
               kMaxTimeout);
  }
  return std::chrono::seconds(seconds);
}

/// Characters that an address cannot have as they are become %XX.
std::string encoded(std::string_view text, bool keep_slashes) {
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || (c == '/' && keep_slashes);
    result += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return result;
}

/// ETag: "abc" or W/"abc".
std::string bare_etag(std::string text) {
  if (text.starts_with("W/")) text.erase(0, 2);
  std::erase(text, '"');
  return text;
}

/// Of `<https://...>; rel="next"`: the address; empty where there is none.
std::string next_page(const std::string& link) {
  if (!link.starts_with('<') || link.find("rel=\"next\"") == std::string::npos) return {};
  return link.substr(1, link.find('>') - 1);
}

std::string size_header(const HttpAnswer& answer) {
  const std::string linked = answer.header("x-linked-size");
  return linked.empty() ? answer.header("content-length") : linked;
}

}  // namespace

HttpSettings hub_settings() {
  for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}) {
    if (is_on(name))
      user_error("{} is set, so no model can be pulled: unset it, or use a model of the cache",
                 name);
  }
  HttpSettings settings;
  settings.endpoint = environment("HF_ENDPOINT");
  if (settings.endpoint.empty()) settings.endpoint = kPublicHub;
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  settings.token = find_token();
  settings.timeout = find_timeout();
  return settings;
}

void Tries::wait_after(const HttpAnswer& answer, const std::atomic<bool>& stop,
                       const std::function<void(const HttpAnswer&)>& fail) {
  const auto wanted = std::chrono::seconds(answer.retry_after);
  if (!answer.passing || ++used_ >= kMaxTries || wanted > kLongestPause) fail(answer);
  const auto pause = std::max<std::chrono::milliseconds>(kFirstPause * (1 << (used_ - 1)), wanted);
  const auto end = std::chrono::steady_clock::now() + pause;
  while (std::chrono::steady_clock::now() < end) {
    throw_if_stopped(stop);
    std::this_thread::sleep_for(kGlance);
  }
}

HttpAnswer Hub::ask(HttpClient& client, const HttpRequest& request, const std::string& file) const {
  Tries tries;
  for (;;) {
    HttpAnswer answer = client.ask(request);
    if (answer.good()) return answer;
    tries.wait_after(answer, client.stop(), [&](const HttpAnswer& last) { fail(last, file); });
  }
}

Json Hub::ask_json(HttpClient& client, HttpAnswer& answer, const std::string& url) const {
  answer = ask(client, {.url = url}, "");
  try {
    return parse_json(answer.body, answer.origin);
  } catch (const Error& error) {
    internal_error("{}; expected the answer of a Hugging Face hub", error.what());
  }
}

HubListing Hub::list(HttpClient& client) const {
  const std::string api = fmt::format("{}/api/models/{}", settings_.endpoint, repository_.name);
  HttpAnswer answer;
  const Json json =
      ask_json(client, answer, api + "/revision/" + encoded(repository_.revision, false));
  HubListing listing;
  if (json.is_object() && json.contains("sha") && json["sha"].is_string())
    listing.commit = json["sha"].get<std::string>();
  if (!is_checksum(listing.commit)) {
    internal_error("{}: answers without the commit (sha) of {}: expected a Hugging Face hub",
                   answer.origin, repository_.name);
  }
  if (json.contains("siblings")) {
    add_files(listing, json["siblings"], "rfilename", answer.origin);
    return listing;
  }
  std::string url = api + "/tree/" + listing.commit + "?recursive=true";
  while (!url.empty()) {
    const Json files = ask_json(client, answer, url);
    add_files(listing, files, "path", answer.origin);
    url = next_page(answer.header("link"));
  }
  return listing;
}

void Hub::add_files(HubListing& listing, const Json& files, const char* field,
                    const std::string& origin) const {
  if (!files.is_array()) {
    internal_error("{}: answers without the list of files of {}: expected a Hugging Face hub",
                   origin, repository_.name);
  }
  for (const Json& file : files) {
    if (file.is_object() && file.value("type", Json()) == "directory") continue;
    const Json name = file.is_object() ? file.value(field, Json()) : Json();
    const std::string path = name.is_string() ? name.get<std::string>() : "";
    if (const std::string problem = problem_of_path(path); !problem.empty()) {
      internal_error("{}: invalid file name {} in {}: {}", origin, quote(path), repository_.name,
                     problem);
    }
    listing.files.insert(path);
  }
}

std::string Hub::address(const std::string& commit, const std::string& file) const {
  return fmt::format("{}/{}/resolve/{}/{}", settings_.endpoint, repository_.name, commit,
                     encoded(file, true));
}

HubFile Hub::describe(HttpClient& client, const std::string& commit,
                      const std::string& file) const {
  const HttpAnswer answer = ask(client, {.url = address(commit, file), .head = true}, file);
  const std::string linked = answer.header("x-linked-etag");
  HubFile described{.name = file,
                    .etag = bare_etag(linked.empty() ? answer.header("etag") : linked)};
  if (!is_checksum(described.etag)) {
    internal_error(
        "{}: {} of {} has the ETag {}: expected a checksum of 40 or 64 hexadecimal digits",
        answer.origin, quote(file), repository_.name, quote(described.etag));
  }
  if (const std::string of = answer.header("x-repo-commit"); !of.empty() && of != commit) {
    internal_error("{}: gives {} of commit {}: expected commit {}", answer.origin, quote(file),
                   quote(of), commit);
  }
  const std::string size = size_header(answer);
  const auto [end, error] =
      std::from_chars(size.data(), size.data() + size.size(), described.bytes);
  if (error != std::errc() || end != size.data() + size.size() || size.empty()) {
    internal_error(
        "{}: {} of {} has the size {}: expected bytes in X-Linked-Size or Content-Length",
        answer.origin, quote(file), repository_.name, quote(size));
  }
  return described;
}

void Hub::fail_without_access(const HttpAnswer& answer) const {
  const std::string& name = repository_.name;
  if (answer.status == 403 || answer.header("x-error-code") == "GatedRepo") {
    user_error(
        "{}: access denied ({} from {}): request access on the model's page, and give a token "
        "with that access in HF_TOKEN",
        name, answer.status, answer.origin);
  }
  if (!settings_.token.empty()) {
    user_error(
        "{}: the token was rejected, or the model is unknown ({} from {}): check HF_TOKEN (or "
        "the token file) and the name",
        name, answer.status, answer.origin);
  }
  user_error(
      "unknown model {}, or a private one ({} from {}): check the name; private models need "
      "a token in HF_TOKEN",
      name, answer.status, answer.origin);
}

void Hub::fail_as_unknown(const HttpAnswer& answer, const std::string& file) const {
  const std::string& name = repository_.name;
  if (!file.empty()) {
    internal_error("{}: lists {} of {} and answers {} to a request for it", answer.origin,
                   quote(file), name, answer.status);
  }
  if (answer.header("x-error-code") == "RevisionNotFound") {
    user_error("unknown revision {} of {} (404 from {}): expected a branch, tag or commit",
               quote(repository_.revision), name, answer.origin);
  }
  user_error(
      "unknown model {} at revision {} (404 from {}): check the name; private models need a "
      "token in HF_TOKEN",
      name, quote(repository_.revision), answer.origin);
}

void Hub::fail(const HttpAnswer& answer, const std::string& file) const {
  const std::string what = file.empty() ? repository_.name : file + " of " + repository_.name;
  if (!answer.failure.empty()) {
    internal_error("{}: {}: {}{}", what, answer.origin, answer.failure,
                   answer.passing ? fmt::format(" ({} tries)", kMaxTries) : "");
  }
  if (answer.status == 401 || answer.status == 403) fail_without_access(answer);
  if (answer.status == 404 || answer.status == 410) fail_as_unknown(answer, file);
  const std::string when = answer.retry_after > 0
                               ? fmt::format("try again in {} s", answer.retry_after)
                               : "try again later";
  if (answer.status == 429) {
    internal_error("{}: {} answers 429, too many requests: {}", what, answer.origin, when);
  }
  if (answer.passing) {
    internal_error("{}: {} answers {}: {}", what, answer.origin, answer.status, when);
  }
  internal_error("{}: {} answers {}: expected 200", what, answer.origin, answer.status);
}

}  // namespace vitrine::cli
