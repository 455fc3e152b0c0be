// SPDX-License-Identifier: MIT
#include "hub_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "base/json.h"
#include "base/sha256.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr int kLookMilliseconds = 10;
const std::string kName = "org/tiny";

/// Part of the body that a range wants.
HubReply part(const std::string& contents, uint64_t from) {
  if (from == 0) return {.body = contents};
  if (from >= contents.size()) return {.status = 416};
  HubReply reply{.status = 206, .body = contents.substr(from)};
  reply.headers.emplace_back("Content-Range", "bytes " + std::to_string(from) + "-" +
                                                  std::to_string(contents.size() - 1) + "/" +
                                                  std::to_string(contents.size()));
  return reply;
}

HubRequest parsed(const std::string& text) {
  HubRequest request;
  std::istringstream lines(text);
  lines >> request.method >> request.path;
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && line != "\r") {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    request.headers[name] = line.substr(colon + 2, line.size() - colon - 3);
  }
  return request;
}

}  // namespace

uint64_t HubRequest::from() const {
  const auto found = headers.find("range");
  return found == headers.end() ? 0 : std::stoull(found->second.substr(sizeof("bytes=") - 1));
}

HubServer::HubServer() {
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(socket_, any, size), 0);
  EXPECT_EQ(listen(socket_, 64), 0);
  EXPECT_EQ(getsockname(socket_, any, &size), 0);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { accept_clients(); });
}

HubServer::~HubServer() {
  ends_ = true;
  accepting_.join();
  for (std::thread& thread : threads_) thread.join();
  close(socket_);
}

void HubServer::add_file(const std::string& name, const std::string& contents,
                         const std::string& git_sha1) {
  files_[name] = {contents, git_sha1.empty() ? sha256_hex(contents) : git_sha1, git_sha1.empty()};
}

std::vector<HubRequest> HubServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

size_t HubServer::count(const std::string& method, const std::string& path) const {
  const auto all = requests();
  return static_cast<size_t>(std::count_if(all.begin(), all.end(), [&](const HubRequest& one) {
    return one.method == method && one.path.starts_with(path);
  }));
}

HubReply HubServer::listing() const {
  Json json = {{"id", kName}, {"sha", kCommit}, {"siblings", Json::array()}};
  for (const auto& [name, file] : files_) json["siblings"].push_back({{"rfilename", name}});
  return {.body = json.dump()};
}

HubReply HubServer::resolved(const HubRequest& request, const std::string& name) const {
  const auto found = files_.find(name);
  if (found == files_.end()) return {.status = 404, .headers = {{"X-Error-Code", "EntryNotFound"}}};
  const File& file = found->second;
  HubReply reply;
  if (file.lfs) {
    reply.status = 302;
    reply.headers = {{"Location", cdn + "/cdn/" + file.etag},
                     {"X-Linked-Etag", "\"" + file.etag + "\""},
                     {"X-Linked-Size", std::to_string(file.contents.size())}};
  } else {
    reply = part(file.contents, request.from());
    reply.headers.emplace_back("ETag", "\"" + file.etag + "\"");
  }
  reply.headers.emplace_back("X-Repo-Commit", kCommit);
  return reply;
}

HubReply HubServer::usual(const HubRequest& request) const {
  const std::string api = "/api/models/" + kName + "/revision/";
  const std::string resolve = "/" + kName + "/resolve/" + std::string(kCommit) + "/";
  if (request.path == api + "main" || request.path == api + kCommit) return listing();
  if (request.path.starts_with(api))
    return {.status = 404, .headers = {{"X-Error-Code", "RevisionNotFound"}}};
  if (request.path.starts_with(resolve))
    return resolved(request, request.path.substr(resolve.size()));
  for (const auto& [name, file] : files_) {
    if (request.path == "/cdn/" + file.etag) return part(file.contents, request.from());
  }
  return {.status = 404, .headers = {{"X-Error-Code", "RepoNotFound"}}};
}

void HubServer::accept_clients() {
  while (!ends_) {
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, kLookMilliseconds) <= 0) continue;
    const int client = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) threads_.emplace_back([this, client] { serve(client); });
  }
}

void HubServer::serve(int client) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (!ends_ && text.find("\r\n\r\n") == std::string::npos) {
    pollfd waiting{client, POLLIN, 0};
    if (poll(&waiting, 1, kLookMilliseconds) <= 0) continue;
    const ssize_t count = read(client, buffer.data(), buffer.size());
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  if (text.find("\r\n\r\n") != std::string::npos) {
    HubRequest request = parsed(text);
    {
      const std::lock_guard lock(mutex_);
      for (const HubRequest& one : requests_)
        request.times += one.method == request.method && one.path == request.path;
      requests_.push_back(request);
    }
    const auto reply = instead ? instead(request) : std::nullopt;
    send(client, request, reply ? *reply : usual(request));
  }
  close(client);
}

void HubServer::send(int client, const HubRequest& request, const HubReply& reply) const {
  std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " Status\r\n";
  for (const auto& [name, value] : reply.headers) text += name + ": " + value + "\r\n";
  text += "Content-Length: " + std::to_string(reply.length.value_or(reply.body.size())) +
          "\r\nConnection: close\r\n\r\n";
  if (request.method != "HEAD") text += reply.body.substr(0, reply.cut);
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t count = ::send(client, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;
    sent += static_cast<size_t>(count);
  }
  while (reply.stalls && !ends_) {
    pollfd waiting{client, POLLIN, 0};
    char byte = 0;
    if (poll(&waiting, 1, kLookMilliseconds) > 0 && read(client, &byte, 1) <= 0) return;
  }
}

}  // namespace vitrine::testing
