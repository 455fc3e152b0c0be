// SPDX-License-Identifier: MIT
// `vitrine pull` against a server on this machine that does what servers and networks do.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "hub_server.h"
#include "runner.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

const std::string kApi = "/api/models/org/tiny/revision/main";
// As `git ls-files -s tests/goldens/plain` lists them.
constexpr const char* kConfigSha1 = "ddb83c04b05bb939a7eefa67c559207d1d6adb87";
constexpr const char* kGenerationSha1 = "85105a002b2e63ad16bf9cc900d3acf7032f7b96";

class Pull : public ::testing::Test {
 protected:
  void SetUp() override {
    hub_.add_file("config.json", read_bytes(fs::path(plain()) / "config.json"), kConfigSha1);
    hub_.add_file("generation_config.json",
                  read_bytes(fs::path(plain()) / "generation_config.json"), kGenerationSha1);
    hub_.add_file("model.safetensors", weights_);
    hub_.add_file("pytorch_model.bin", "another format");
    hub_.add_file("README.md", "not needed");
    hub_.add_file("onnx/model.onnx", "not needed either");
    hub_.add_file("runs/2026-11-30T07:39:24.json", "nor this");
  }

  CliResult pull(std::vector<std::string> more = {}, CliOptions options = {}) const {
    std::vector<std::string> words = {"pull"};
    if (more.empty() || more[0].starts_with("-")) words.emplace_back("org/tiny");
    words.insert(words.end(), more.begin(), more.end());
    std::vector<std::pair<std::string, std::string>> environment = {
        {"HF_HOME", home_.path()},
        {"HF_HUB_CACHE", ""},
        {"HUGGINGFACE_HUB_CACHE", ""},
        {"HF_ENDPOINT", hub_.url()},
        {"HF_TOKEN", ""},
        {"HUGGING_FACE_HUB_TOKEN", ""},
        {"HF_TOKEN_PATH", ""},
        {"HF_HUB_OFFLINE", ""},
        {"TRANSFORMERS_OFFLINE", ""},
        {"no_proxy", "127.0.0.1"},
        {"HF_HUB_DOWNLOAD_TIMEOUT", ""}};
    environment.insert(environment.end(), options.environment.begin(), options.environment.end());
    options.environment = environment;
    return run_cli(words, options);
  }

  void expect_fails(const CliResult& result, int status, const std::string& words) const {
    EXPECT_EQ(result.status, status) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(says(result.err, "vitrine: ", words));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  fs::path hub_cache() const { return home_ / "hub"; }
  fs::path repository() const { return hub_cache() / "models--org--tiny"; }
  fs::path snapshot() const { return repository() / "snapshots" / HubServer::kCommit; }
  fs::path blob(const std::string& name) const { return repository() / "blobs" / hub_.etag(name); }
  fs::path partial(const std::string& name) const { return blob(name).string() + ".incomplete"; }
  std::string cdn(const std::string& name) const { return "/cdn/" + hub_.etag(name); }

  /// Files below the cache, relative to it.
  std::set<std::string> in_cache() const {
    std::set<std::string> found;
    if (!fs::exists(hub_cache())) return found;
    for (const auto& entry : fs::recursive_directory_iterator(hub_cache())) {
      if (!entry.is_directory()) found.insert(entry.path().lexically_relative(hub_cache()));
    }
    return found;
  }

  /// The first answer with the weights ends after half of them, in silence.
  void stall_in_the_middle() {
    hub_.instead = [this](const HubRequest& request) -> std::optional<HubReply> {
      if (request.method != "GET" || request.path != cdn("model.safetensors") || request.times > 1)
        return std::nullopt;
      HubReply reply = hub_.usual(request);
      reply.cut = weights_.size() / 2;
      reply.length = weights_.size();
      reply.stalls = true;
      return reply;
    };
  }

  /// Sends the signal once half of the weights have arrived.
  std::function<void(pid_t)> signal_in_the_middle(int signal) {
    return [this, signal](pid_t child) {
      std::error_code ignored;
      for (int i = 0; i < 20000 &&
                      (!fs::exists(partial("model.safetensors")) ||
                       fs::file_size(partial("model.safetensors"), ignored) < weights_.size() / 2);
           ++i)
        usleep(500);
      sent_ = Clock::now();
      kill(child, signal);
    };
  }

  const std::string weights_ = read_bytes(fs::path(plain()) / "model.safetensors");
  TempFolder home_;
  HubServer hub_;
  Clock::time_point sent_;
};

// --- what arrives

TEST_F(Pull, LeavesTheCacheAsHuggingFacesOwnLibraryDoes) {
  const CliResult result = pull();
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const std::string repository = "models--org--tiny/",
                    snapshots = repository + "snapshots/" + HubServer::kCommit + "/";
  std::set<std::string> expected = {"CACHEDIR.TAG", repository + "refs/main"};
  for (const char* name : {"config.json", "generation_config.json", "model.safetensors"}) {
    expected.insert(repository + "blobs/" + hub_.etag(name));
    expected.insert(".locks/" + repository + hub_.etag(name) + ".lock");
    expected.insert(snapshots + name);
    EXPECT_EQ(fs::read_symlink(snapshot() / name), "../../blobs/" + hub_.etag(name));
  }
  EXPECT_EQ(in_cache(), expected);
  EXPECT_EQ(read_bytes(this->repository() / "refs/main"), HubServer::kCommit);
  EXPECT_EQ(read_bytes(snapshot() / "model.safetensors"), weights_);
  const CliResult info =
      run_cli({"info", "--model", "org/tiny"},
              {.environment = {{"HF_HOME", home_.path()}, {"HF_HUB_CACHE", ""}}});
  EXPECT_EQ(info.status, 0) << info.err;
}

TEST_F(Pull, WhatIsThereIsNotRequestedAgain) {
  ASSERT_EQ(pull().status, 0);
  ASSERT_EQ(pull({"org/tiny@main"}).status, 0);
  ASSERT_EQ(pull({"--revision", HubServer::kCommit}).status, 0);
  EXPECT_EQ(hub_.count("GET", cdn("model.safetensors")), 1u);
  EXPECT_EQ(hub_.count("GET", "/org/tiny/resolve/"), 3u);
  EXPECT_EQ(hub_.count("HEAD", "/org/tiny/resolve/"), 9u);
}

TEST_F(Pull, ADryRunListsAndWritesNothing) {
  const CliResult result = pull({"--dry-run", "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = Json::parse(result.out);
  ASSERT_EQ(json["files"].size(), 3u);
  EXPECT_EQ(json["commit"], HubServer::kCommit);
  EXPECT_EQ(json["files"][2]["name"], "model.safetensors");
  EXPECT_EQ(json["files"][2]["bytes"], weights_.size());
  EXPECT_EQ(json["files"][2]["present"], false);
  EXPECT_EQ(json["missing_bytes"], json["bytes"]);
  EXPECT_TRUE(in_cache().empty());
  EXPECT_EQ(hub_.count("GET", "/org/tiny/resolve/"), 0u);
}

TEST_F(Pull, ShardsAreThoseThatTheIndexNames) {
  HubServer hub;
  hub.add_file("config.json", "{}");
  hub.add_file("model.safetensors.index.json",
               R"({"weight_map": {"a": "parts/one.safetensors", "b": "two.safetensors",
                                  "c": "two.safetensors"}})");
  hub.add_file("parts/one.safetensors", "one");
  hub.add_file("two.safetensors", "two");
  hub.add_file("three.safetensors", "of another model");
  hub.add_file("pytorch_model.bin", "another format");
  ASSERT_EQ(pull({}, {.environment = {{"HF_ENDPOINT", hub.url()}}}).status, 0);
  EXPECT_EQ(read_bytes(snapshot() / "parts/one.safetensors"), "one");
  EXPECT_EQ(fs::read_symlink(snapshot() / "parts/one.safetensors"),
            "../../../blobs/" + hub.etag("parts/one.safetensors"));
  EXPECT_EQ(read_bytes(snapshot() / "two.safetensors"), "two");
  EXPECT_FALSE(fs::exists(snapshot() / "three.safetensors"));
  EXPECT_FALSE(fs::exists(snapshot() / "pytorch_model.bin"));
}

TEST_F(Pull, FilesMayBeListedApartPageByPage) {
  const std::string tree = "/api/models/org/tiny/tree/" + std::string(HubServer::kCommit);
  hub_.instead = [&](const HubRequest& request) -> std::optional<HubReply> {
    if (request.path == kApi) return HubReply{.body = Json{{"sha", HubServer::kCommit}}.dump()};
    if (request.path == tree + "?recursive=true") {
      return HubReply{
          .headers = {{"Link", "<" + hub_.url() + tree + "?cursor=2>; rel=\"next\""}},
          .body =
              R"([{"type": "file", "path": "config.json"}, {"type": "directory", "path": "onnx"}])"};
    }
    if (request.path == tree + "?cursor=2")
      return HubReply{.body = R"([{"type": "file", "path": "model.safetensors"}])"};
    return std::nullopt;
  };
  ASSERT_EQ(pull().status, 0);
  EXPECT_EQ(read_bytes(snapshot() / "model.safetensors"), weights_);
  EXPECT_TRUE(fs::exists(snapshot() / "config.json"));
}

// --- the token

TEST_F(Pull, TheTokenReachesNoOtherHost) {
  HubServer elsewhere;
  elsewhere.add_file("model.safetensors", weights_);
  hub_.cdn = elsewhere.url();
  ASSERT_EQ(pull({}, {.environment = {{"HF_TOKEN", "hf_secret"}}}).status, 0);
  for (const HubRequest& request : hub_.requests())
    EXPECT_EQ(request.headers.at("authorization"), "Bearer hf_secret") << request.path;
  ASSERT_EQ(elsewhere.requests().size(), 1u);
  EXPECT_FALSE(elsewhere.requests()[0].headers.contains("authorization"));
}

TEST_F(Pull, TheTokenStaysWhereTheWholeHubIsRedirected) {
  HubServer mirror;
  mirror.instead = [&](const HubRequest& request) {
    return HubReply{.status = 307, .headers = {{"Location", hub_.url() + request.path}}};
  };
  std::ofstream(home_ / "token") << "hf_from_file\n";
  ASSERT_EQ(pull({}, {.environment = {{"HF_ENDPOINT", mirror.url()}}}).status, 0);
  EXPECT_EQ(mirror.requests()[0].headers.at("authorization"), "Bearer hf_from_file");
  for (const HubRequest& request : hub_.requests())
    EXPECT_FALSE(request.headers.contains("authorization")) << request.path;
}

// --- answers that end a pull

struct BadAnswer {
  int status;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string token;
  int exit;
  std::string words;
};

TEST_F(Pull, EachAnswerHasItsLine) {
  const std::vector<BadAnswer> answers = {
      {401, {}, "", 2, "private models need a token in HF_TOKEN"},
      {401, {}, "hf_old", 2, "the token was rejected"},
      {403, {}, "hf_old", 2, "request access"},
      {404, {}, "", 2, "unknown model org/tiny"},
      {404, {{"X-Error-Code", "RevisionNotFound"}}, "", 2, "unknown revision 'main'"},
      {429, {{"Retry-After", "3600"}}, "", 1, "try again in 3600 s"},
      {503, {{"Retry-After", "90"}}, "", 1, "try again in 90 s"},
      {418, {}, "", 1, "answers 418"},
      {302, {{"Location", "ftp://127.0.0.1/"}}, "", 1, "invalid address"},
      {302, {{"Location", hub_.url() + kApi}}, "", 1, "more than 10 times"},
      {200, {}, "", 1, "expected the answer of a Hugging Face hub"}};
  for (const BadAnswer& answer : answers) {
    SCOPED_TRACE(answer.words);
    hub_.instead = [&](const HubRequest&) {
      return HubReply{.status = answer.status, .headers = answer.headers, .body = "<html>"};
    };
    expect_fails(pull({}, {.environment = {{"HF_TOKEN", answer.token}}}), answer.exit,
                 answer.words);
    EXPECT_TRUE(in_cache().empty());
  }
}

TEST_F(Pull, ARedirectThatDoesNotDescribeTheFileIsFollowed) {
  hub_.instead = [this](const HubRequest& request) -> std::optional<HubReply> {
    if (!request.path.ends_with("/config.json")) return std::nullopt;
    if (request.path == "/cache/config.json") {
      HubRequest original = request;
      original.path = "/org/tiny/resolve/" + std::string(HubServer::kCommit) + "/config.json";
      return hub_.usual(original);
    }
    return HubReply{.status = 307,
                    .headers = {{"Location", "/cache/config.json"}},
                    .body = "See the other address."};
  };
  ASSERT_EQ(pull().status, 0);
  EXPECT_EQ(read_bytes(snapshot() / "config.json"), read_bytes(fs::path(plain()) / "config.json"));
}

TEST_F(Pull, AServerThatIsBusyIsAskedAgainAsItWishes) {
  hub_.instead = [](const HubRequest& request) -> std::optional<HubReply> {
    if (request.times > 1) return std::nullopt;
    return HubReply{.status = request.method == "GET" ? 429 : 503,
                    .headers = {{"Retry-After", "1"}}};
  };
  const auto begin = Clock::now();
  const CliResult result = pull();
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_GE(Clock::now() - begin, std::chrono::seconds(3)) << "a listing, a HEAD and a GET";
}

TEST_F(Pull, TriesAreFew) {
  hub_.instead = [](const HubRequest&) { return HubReply{.status = 503}; };
  expect_fails(pull(), 1, "answers 503");
  EXPECT_EQ(hub_.requests().size(), 5u);
}

TEST_F(Pull, AServerThatIsNotThereIsTheNetworks) {
  expect_fails(pull({}, {.environment = {{"HF_ENDPOINT", "http://127.0.0.1:1"}}}), 1,
               "http://127.0.0.1:1: ");
}

// --- what goes wrong with a file

TEST_F(Pull, ACutConnectionIsResumedWhereItWasCut) {
  hub_.instead = [this](const HubRequest& request) -> std::optional<HubReply> {
    if (request.method != "GET" || request.path != cdn("model.safetensors")) return std::nullopt;
    HubReply reply = hub_.usual(request);
    reply.length = reply.body.size();
    if (request.times < 4) reply.cut = weights_.size() / 4;
    return reply;
  };
  ASSERT_EQ(pull().status, 0);
  EXPECT_EQ(read_bytes(snapshot() / "model.safetensors"), weights_);
  uint64_t asked = 0;
  for (const HubRequest& request : hub_.requests()) {
    if (request.path != cdn("model.safetensors")) continue;
    EXPECT_EQ(request.from(), asked);
    asked += weights_.size() / 4;
  }
}

TEST_F(Pull, AServerWithoutRangesSendsTheFileFromItsBeginning) {
  hub_.instead = [this](const HubRequest& request) -> std::optional<HubReply> {
    if (request.method != "GET" || request.path != cdn("model.safetensors")) return std::nullopt;
    HubReply reply{.body = weights_, .length = weights_.size()};
    if (request.times < 3) reply.cut = weights_.size() / 2;
    return reply;
  };
  ASSERT_EQ(pull().status, 0);
  EXPECT_EQ(read_bytes(snapshot() / "model.safetensors"), weights_);
}

/// What a server sends of the weights, and how the pull ends.
struct BadBody {
  HubReply reply;
  std::string words;
};

TEST_F(Pull, BytesThatAreNotTheFilesAreRejected) {
  std::string changed = weights_;
  changed[weights_.size() / 2] ^= 1;
  const std::vector<BadBody> bodies = {
      {{.body = changed}, "the checksum of what was sent is not " + hub_.etag("model.safetensors")},
      {{.body = weights_ + "more"}, "sends more than"},
      {{.body = weights_.substr(0, 100)}, "ends after 100 of"},
      {{.body = weights_, .length = weights_.size() + 5, .cut = 100}, "model.safetensors"},
      {{.status = 404}, "lists 'model.safetensors'"}};
  for (const BadBody& body : bodies) {
    SCOPED_TRACE(body.words);
    hub_.instead = [&](const HubRequest& request) -> std::optional<HubReply> {
      if (request.method != "GET" || request.path != cdn("model.safetensors")) return std::nullopt;
      HubReply reply = body.reply;
      if (request.from() > 0) reply.body.clear();  // no more than was sent before
      if (request.from() > 0) reply.length.reset();
      return reply;
    };
    expect_fails(pull(), 1, body.words);
    EXPECT_FALSE(fs::exists(blob("model.safetensors")));
    EXPECT_FALSE(fs::exists(repository() / "refs" / "main")) << "it names whole snapshots alone";
    EXPECT_FALSE(fs::exists(snapshot() / "model.safetensors"));
    fs::remove_all(repository());
  }
}

TEST_F(Pull, HeadersThatSayNothingUsableAreRejected) {
  struct Bad {
    std::string name, value, words;
  };
  for (const Bad& bad :
       {Bad{"ETag", "\"../../../../evil\"", "expected a checksum"},
        Bad{"ETag", "", "expected a checksum"}, Bad{"X-Linked-Size", "-1", "expected bytes"},
        Bad{"X-Repo-Commit", "main", "expected commit"}}) {
    SCOPED_TRACE(bad.name + bad.value);
    hub_.instead = [&](const HubRequest& request) -> std::optional<HubReply> {
      if (request.method != "HEAD" || !request.path.ends_with("/config.json")) return std::nullopt;
      HubReply reply = hub_.usual(request);
      std::erase_if(reply.headers, [&](const auto& header) { return header.first == bad.name; });
      reply.headers.emplace_back(bad.name, bad.value);
      return reply;
    };
    expect_fails(pull(), 1, bad.words);
    EXPECT_TRUE(in_cache().empty());
  }
}

TEST_F(Pull, AFullDiskIsTheMachines) {
  expect_fails(pull({}, {.file_size_limit = 1000}), 1, "File too large");
  EXPECT_FALSE(fs::exists(repository() / "refs" / "main"));
  EXPECT_EQ(pull().status, 0) << "goes on from what was there";
}

// --- interruptions and company

TEST_F(Pull, AKilledPullIsResumedInTheMiddle) {
  stall_in_the_middle();
  EXPECT_EQ(pull({}, {.meanwhile = signal_in_the_middle(SIGKILL)}).status, -SIGKILL);
  ASSERT_TRUE(fs::exists(partial("model.safetensors")));
  ASSERT_EQ(pull().status, 0);
  EXPECT_EQ(read_bytes(snapshot() / "model.safetensors"), weights_);
  // Files come side by side, in any order.
  const auto requests = hub_.requests();
  EXPECT_TRUE(std::any_of(requests.begin(), requests.end(), [&](const HubRequest& request) {
    return request.from() == weights_.size() / 2;
  }));
  EXPECT_FALSE(fs::exists(partial("model.safetensors")));
}

TEST_F(Pull, AWrongBeginningOfAnEarlierPullIsNotKept) {
  fs::create_directories(partial("model.safetensors").parent_path());
  for (const size_t bytes : {size_t{100}, weights_.size(), weights_.size() + 1}) {
    std::ofstream(partial("model.safetensors")) << std::string(bytes, 'x');
    ASSERT_EQ(pull().status, 0);
    EXPECT_EQ(read_bytes(snapshot() / "model.safetensors"), weights_);
    fs::remove(blob("model.safetensors"));
  }
}

TEST_F(Pull, ControlCEndsItAtOnce) {
  stall_in_the_middle();
  const CliResult result = pull({}, {.meanwhile = signal_in_the_middle(SIGINT)});
  const auto took = Clock::now() - sent_;
  EXPECT_EQ(result.status, -SIGINT);
  EXPECT_LT(took, std::chrono::seconds(1)) << "0.2 s, and more on a busy machine";
  EXPECT_TRUE(says(result.err, "interrupted: the same command resumes"));
  EXPECT_TRUE(fs::exists(partial("model.safetensors")));
}

TEST_F(Pull, OfTwoTogetherOneDownloads) {
  hub_.instead = [](const HubRequest& request) -> std::optional<HubReply> {
    if (request.path.starts_with("/cdn/"))
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return std::nullopt;
  };
  std::vector<int> status(2, -1);
  std::thread other([&] { status[0] = pull().status; });
  status[1] = pull().status;
  other.join();
  EXPECT_EQ(status, std::vector<int>(2, 0));
  EXPECT_EQ(hub_.count("GET", cdn("model.safetensors")), 1u);
  EXPECT_EQ(read_bytes(snapshot() / "model.safetensors"), weights_);
}

// --- names

TEST_F(Pull, NamesThatLeadOutOfTheCacheAreRejected) {
  for (const std::string name : {"../../evil", "/tmp/evil", "a/../../evil", "a\\..\\evil", "",
                                 "a//b", "./a", "C:evil", "NUL", "sub/con", "line\nbreak"}) {
    SCOPED_TRACE(name);
    HubServer hub;
    hub.add_file("config.json", "{}");
    hub.add_file("model.safetensors", "weights");
    hub.add_file(name, "evil");
    expect_fails(pull({}, {.environment = {{"HF_ENDPOINT", hub.url()}}}), 1, "invalid file name");
    HubServer sharded;
    sharded.add_file("pytorch_model.bin.index.json", Json{{"weight_map", {{"a", name}}}}.dump());
    expect_fails(pull({}, {.environment = {{"HF_ENDPOINT", sharded.url()}}}), 1,
                 "invalid file name");
  }
  EXPECT_TRUE(in_cache().empty());
}

TEST_F(Pull, WhatIsWrongBeforeAnyRequestIsTheUsers) {
  struct Wrong {
    std::vector<std::string> words;
    std::pair<std::string, std::string> environment;
    std::string says;
  };
  const std::vector<Wrong> all = {
      {{"a/b/c"}, {}, "invalid model name 'a/b/c'"},
      {{"../tiny"}, {}, "invalid model name"},
      {{"org/ti--ny"}, {}, "invalid model name"},
      {{"org/tiny@../../x"}, {}, "invalid revision"},
      {{"org/tiny@"}, {}, "invalid revision"},
      {{"org/tiny@v1", "--revision", "v2"}, {}, "two revisions"},
      {{"org/tiny"}, {"HF_HUB_OFFLINE", "1"}, "HF_HUB_OFFLINE is set"},
      {{"org/tiny"}, {"HF_ENDPOINT", "ftp://127.0.0.1"}, "invalid HF_ENDPOINT"},
      {{"org/tiny"}, {"HF_ENDPOINT", "http://user:word@127.0.0.1"}, "invalid HF_ENDPOINT"},
      {{"org/tiny"}, {"HF_HUB_DOWNLOAD_TIMEOUT", "soon"}, "invalid HF_HUB_DOWNLOAD_TIMEOUT 'soon'"},
      {{"org/tiny"}, {"HF_TOKEN", "hf_a b"}, "HF_TOKEN: the token has characters"}};
  for (const Wrong& wrong : all) {
    SCOPED_TRACE(wrong.says);
    std::vector<std::pair<std::string, std::string>> environment;
    if (!wrong.environment.first.empty()) environment.push_back(wrong.environment);
    expect_fails(pull(wrong.words, {.environment = environment}), 2, wrong.says);
  }
  expect_fails(pull({"org/tiny@v9"}), 2, "unknown revision 'v9'");
  expect_fails(pull({"org/other"}), 2, "unknown model org/other");
}

TEST_F(Pull, ARepositoryWithoutWeightsIsNamed) {
  HubServer hub;
  hub.add_file("config.json", "{}");
  hub.add_file("flax_model.msgpack", "weights of another kind");
  expect_fails(pull({}, {.environment = {{"HF_ENDPOINT", hub.url()}}}), 2, "flax_model.msgpack");
}

}  // namespace
}  // namespace vitrine::testing
