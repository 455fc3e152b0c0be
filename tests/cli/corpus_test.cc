// SPDX-License-Identifier: MIT
// `vitrine corpus` and `vitrine covariance` against the library, and what they refuse.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>

#include "base/random.h"
#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/corpus/corpus_capture.h"
#include "vitrine/corpus/corpus_moments.h"
#include "vitrine/version.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

constexpr const char* kSite = "blocks.1.hook_resid_post";

/// Documents of ids for the model `plain`.
std::string corpus(const TempFolder& folder, int documents) {
  std::string text;
  for (int i = 0; i < documents; ++i) {
    Json ids = Json::array();
    for (uint64_t t = 0; t < 5 + mix64(static_cast<uint64_t>(i)) % 20; ++t)
      ids.push_back(mix64(static_cast<uint64_t>(i) * 100 + t) % 90);
    text += Json({{"ids", ids}}).dump() + "\n";
  }
  return folder.write("corpus.jsonl", text);
}

void expect_refused(const std::vector<std::string>& arguments,
                    const std::vector<std::string>& words, const CliOptions& options = {}) {
  const CliResult result = run_cli(arguments, options);
  SCOPED_TRACE(Json(arguments).dump() + "\n" + result.err);
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  for (const std::string& word : words) EXPECT_NE(result.err.find(word), std::string::npos) << word;
}

TEST(CorpusCommand, WritesGoesOnAndVerifies) {
  const TempFolder folder;
  const std::string path = corpus(folder, 12), out = (folder / "out").string();
  const std::vector<std::string> command = {
      "corpus",         path, "--model",  plain(), "--capture", kSite, "--out", out,
      "--shard-tokens", "40", "--window", "8",     "--overlap", "2"};
  const Json json = run_json(command);
  const Model model = Model::load(plain());
  Hooks hooks;
  hooks.capture(kSite);
  const auto wanted = capture_corpus(
      model,
      WindowReader(model, DocumentReader({path}, {.vocab = model.config().vocab}),
                   {.window = 8, .overlap = 2}),
      hooks, folder / "library",
      {.shard_tokens = 40, .weights_digest = checkpoint_digest(Model::locate(plain()))});
  EXPECT_TRUE(json["corpus"]["complete"]);
  EXPECT_EQ(json["corpus"]["tokens"], wanted.tokens);
  EXPECT_EQ(json["corpus"]["shards"], wanted.shards);
  EXPECT_EQ(json["corpus"]["buffer_bytes"], wanted.buffer_bytes);
  for (const char* name : {"manifest.json", "shard-000002.safetensors"}) {
    EXPECT_EQ(read_bytes(fs::path(json["corpus"]["path"].get<std::string>()) / name),
              read_bytes(wanted.folder / name))
        << name;
  }
  EXPECT_EQ(run_json(command)["corpus"]["resumed_shards"], wanted.shards);
  EXPECT_NE(run_cli({"corpus", "--verify", "--out", out}).out.find("all match their manifests"),
            std::string::npos);
  auto other = command;
  other.back() = "3";
  expect_refused(other, {"belongs to a different run: plan.overlap is 2 there and 3 here"});
  const fs::path shard = wanted.folder.parent_path().parent_path() / "out" / "rank-00000-of-00001" /
                         "shard-000001.safetensors";
  fs::resize_file(shard, fs::file_size(shard) - 1);
  expect_refused({"corpus", "--verify", "--out", out},
                 {"1 problems in ", "shards compared with the manifest", shard.string()});
}

TEST(CorpusCommand, ADryRunWritesNothing) {
  const TempFolder folder;
  const std::string path = corpus(folder, 30), out = (folder / "out").string();
  std::vector<std::string> command = {"corpus", path,    "--model", plain(),          "--capture",
                                      kSite,    "--out", out,       "--shard-tokens", "40"};
  auto dry = command;
  dry.insert(dry.end(), {"--dry-run", "--disk-rate", "0.000001"});
  const Json found = run_json(dry)["dry_run"];
  EXPECT_FALSE(fs::exists(out));
  const CliResult text = run_cli(dry);
  EXPECT_TRUE(says(text.out, "30 documents", "nothing was written", "tokens/s",
                   "computing again takes", "vitrine.shards.live"))
      << text.out << text.err;
  EXPECT_FALSE(fs::exists(out));
  const Json wanted = run_json(command)["corpus"];
  for (const char* name :
       {"documents", "windows", "tokens", "shards", "shard_tokens", "buffer_bytes"})
    EXPECT_EQ(found[name], wanted[name]) << name;
  EXPECT_EQ(found["sites"][0]["rows"], wanted["tokens"]);
  EXPECT_EQ(found["recomputing_is_faster"], true);
  EXPECT_EQ(found["disk_rate"], 1);
  command.insert(command.end(), {"--disk-rate", "5"});
  expect_refused(command, {"--disk-rate", "--dry-run"});
}

TEST(CorpusCommand, StopsBehindAShardAndGoesOn) {
  const TempFolder folder;
  const std::string path = corpus(folder, 700), out = (folder / "out").string();
  const std::vector<std::string> command = {
      "corpus", path, "--model",        plain(), "--capture", "blocks.*.hook_resid_post",
      "--out",  out,  "--shard-tokens", "2000"};
  auto slowly = command;
  slowly.insert(slowly.end(), {"--batch-tokens", "1"});
  CliOptions options;
  options.meanwhile = [&](pid_t child) {
    const fs::path first = folder / "out/rank-00000-of-00001/manifest.json";
    for (int i = 0; i < 2000 && !fs::exists(first); ++i) usleep(1000);
    kill(child, SIGINT);
  };
  const CliResult stopped = run_cli(slowly, options);
  if (stopped.status == 0) GTEST_SKIP() << "it had finished before the interruption";
  EXPECT_EQ(stopped.status, -SIGINT);
  EXPECT_TRUE(says(stopped.err,
                   "interrupted: the same command goes on after the last complete "
                   "shard"))
      << stopped.err;
  const Json manifest = read_json(folder / "out/rank-00000-of-00001/manifest.json");
  EXPECT_FALSE(manifest["complete"]);
  const Json json = run_json(command);
  EXPECT_EQ(json["corpus"]["resumed_shards"], manifest["shards"].size());
  EXPECT_EQ(json["corpus"]["documents"], 700);
  EXPECT_TRUE(json["corpus"]["complete"]);
}

TEST(CorpusCommand, RepairsShardsAndSaysWhich) {
  const TempFolder folder;
  const std::string path = corpus(folder, 20), out = (folder / "out").string();
  std::vector<std::string> command = {"corpus", path,    "--model", plain(),          "--capture",
                                      kSite,    "--out", out,       "--shard-tokens", "40"};
  const fs::path rank = run_json(command)["corpus"]["path"].get<std::string>();
  const std::string wanted = read_bytes(rank / "shard-000001.safetensors");
  fs::remove(rank / "shard-000001.safetensors");
  expect_refused(command, {"shard-000001.safetensors", "--repair"});
  command.emplace_back("--repair");
  const CliResult text = run_cli(command);
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_TRUE(says(text.out,
                   "shard-000001.safetensors: is in the manifest, but not there: made again",
                   "1 of ", "all match the manifest"))
      << text.out;
  EXPECT_EQ(read_bytes(rank / "shard-000001.safetensors"), wanted);
  fs::resize_file(rank / "shard-000001.safetensors", 9);
  const Json json = run_json(command)["repair"];
  EXPECT_EQ(json["repaired"].size(), 1u);
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(run_json(command)["repair"]["repaired"].size(), 0u);
  std::string text_of_another = read_bytes(path);
  char& digit = text_of_another[text_of_another.find('[') + 1];
  digit = digit == '1' ? '2' : '1';
  folder.write("corpus.jsonl", text_of_another);
  fs::remove(rank / "shard-000001.safetensors");
  expect_refused(command, {"rank-00000-of-00001", "have changed"});
  command.emplace_back("--verify");
  expect_refused(command, {"cannot be used with --verify"});
}

TEST(CorpusCommand, EachShardIsAPlainLineOfProgress) {
  const TempFolder folder;
  const CliResult result =
      run_cli({"corpus", corpus(folder, 20), "--model", plain(), "--capture", kSite, "--out",
               (folder / "out").string(), "--shard-tokens", "40", "--progress", "plain", "--json"});
  EXPECT_EQ(result.status, 0);
  const auto shards = Json::parse(result.out)["corpus"]["shards"].get<int>();
  ASSERT_GT(shards, 3);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), shards) << result.err;
  for (int i = 0; i < shards; ++i) {
    EXPECT_TRUE(says(result.err, "shard-00000" + std::to_string(i) + ".safetensors is complete: "));
  }
}

TEST(CorpusCommand, WarnsOfASlurmJobWithoutAStep) {
  const TempFolder folder;
  const std::string path = corpus(folder, 5);
  const auto warning = [&](std::vector<std::pair<std::string, std::string>> environment) {
    environment.insert(environment.end(), {{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}});
    const CliResult result = run_cli({"corpus", path, "--model", plain(), "--capture", kSite,
                                      "--out", (folder / "out").string()},
                                     {.environment = environment});
    EXPECT_EQ(result.status, 0) << result.err;
    return result.err;
  };
  for (const char* step : {"", "batch", "4294967291", "interactive", "4294967290"}) {
    EXPECT_TRUE(says(warning({{"SLURM_STEP_ID", step}}),
                     "warning: SLURM_PROCID is 0 of SLURM_NTASKS", "srun", "--rank 0 --world 1"))
        << step;
  }
  EXPECT_EQ(warning({{"SLURM_STEP_ID", "0"}}), "");
  EXPECT_EQ(warning({{"SLURM_STEPID", "3"}}), "");
}

TEST(CorpusCommand, RanksComeFromTheLauncher) {
  const TempFolder folder;
  const std::string path = corpus(folder, 5);
  const auto capture = [&](const std::vector<std::pair<std::string, std::string>>& environment) {
    const CliResult result = run_cli({"corpus", path, "--model", plain(), "--capture", kSite,
                                      "--out", (folder / "out").string(), "--json"},
                                     {.environment = environment});
    EXPECT_EQ(result.status, 0) << result.err;
    return Json::parse(result.out)["corpus"];
  };
  const Json first = capture({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "2"}});
  EXPECT_EQ(first["rank"], Json({{"rank", 0}, {"world", 2}, {"from", "SLURM_PROCID"}}));
  EXPECT_EQ(first["documents"], 3);
  const Json second = capture({{"SLURM_PROCID", "0"},
                               {"SLURM_NTASKS", "7"},
                               {"OMPI_COMM_WORLD_RANK", "1"},
                               {"OMPI_COMM_WORLD_SIZE", "2"}});
  EXPECT_EQ(second["rank"]["rank"], 1) << "the innermost launcher's";
  EXPECT_EQ(second["documents"], 2);
  expect_refused(
      {"corpus", path, "--model", plain(), "--capture", kSite, "--out", (folder / "o").string()},
      {"RANK is 4 with WORLD_SIZE = 4"}, {.environment = {{"RANK", "4"}, {"WORLD_SIZE", "4"}}});
  expect_refused({"corpus", path, "--model", plain(), "--capture", kSite, "--out",
                  (folder / "o").string(), "--rank", "1"},
                 {"missing --rank or --world"});
}

TEST(CorpusCommand, RefusesInOneLine) {
  const TempFolder folder;
  const std::string out = (folder / "out").string(), bad = folder.write("bad.txt",
                                                                        "good\nb\xff"
                                                                        "d\n");
  expect_refused({"corpus", (folder / "no.txt").string(), "--model", plain(), "--capture", kSite,
                  "--out", out},
                 {"no.txt: no such file"});
  expect_refused({"corpus", "--model", plain(), "--capture", kSite, "--out", out},
                 {"missing files of the corpus"});
  expect_refused({"corpus", bad, "--out", out}, {"missing --capture SITE"});
  expect_refused({"corpus", "--verify", "--out", out}, {"out: cannot be read as a folder"});
  EXPECT_FALSE(fs::exists(out));
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  expect_refused({"corpus", bad, "--split", "line", "--capture", kSite, "--out", out},
                 {"bad.txt:2: document 1 is not UTF-8: byte 0xff at offset 6"});
  const CliResult skipped = run_cli({"corpus", "-", "--split", "line", "--skip-bad", "--capture",
                                     kSite, "--out", (folder / "skip").string()},
                                    {.input = "good\nb\xff"
                                              "d\n"});
  EXPECT_EQ(skipped.status, 0) << skipped.err;
  EXPECT_TRUE(says(skipped.out, "1 bad document was left out; the first:",
                   "standard input:2: document 1 is not UTF-8"));
}

/// An interpreter that prints what it is to do.
std::pair<std::string, std::string> echoing_python(const TempFolder& folder) {
  const std::string path = folder.write("python", "#!/bin/sh\nexec cat\n");
  fs::permissions(path, fs::perms::owner_all);
  return {"VITRINE_PYTHON", path};
}

TEST(CorpusCommand, HandsEveryOptionToRay) {
  const TempFolder folder;
  const CliOptions python = {.environment = {echoing_python(folder)}};
  const CliResult result = run_cli({"corpus",
                                    "a.jsonl",
                                    "b.txt",
                                    "--ray",
                                    "auto",
                                    "--out",
                                    "acts",
                                    "--capture",
                                    "blocks.*.attn.hook_z[heads=0,1]",
                                    "--store",
                                    "f16",
                                    "--edit",
                                    "blocks.0.hook_mlp_out=scale:0.5",
                                    "--window",
                                    "32",
                                    "--overlap",
                                    "2",
                                    "--split",
                                    "line",
                                    "--field",
                                    "body",
                                    "--skip-bad",
                                    "--special",
                                    "--prepend",
                                    "--shard-tokens",
                                    "64",
                                    "--batch-tokens",
                                    "16",
                                    "--parts",
                                    "8",
                                    "--actors",
                                    "2,4",
                                    "--cpus",
                                    "0.5",
                                    "--gpus",
                                    "0.25",
                                    "--model",
                                    "gpt2",
                                    "--threads",
                                    "3",
                                    "--dtype",
                                    "bf16",
                                    "--bos",
                                    "none",
                                    "--json"},
                                   python);
  ASSERT_EQ(result.status, 0) << result.err;
  const Json request = Json::parse(result.out);
  const Json hooks = Json::parse(request["hooks"].get<std::string>());
  EXPECT_EQ(hooks["captures"][0]["heads"], "0..1") << hooks.dump();
  EXPECT_EQ(hooks["edits"][0]["change"], "scale:0.5") << hooks.dump();
  EXPECT_EQ(hooks["store"], "f16");
  const Json expected = {{"do", "ray"},
                         {"address", "auto"},
                         {"json", true},
                         {"paths", {"a.jsonl", "b.txt"}},
                         {"out", "acts"},
                         {"parts", 8},
                         {"actors", {2, 4}},
                         {"cpus", 0.5},
                         {"gpus", 0.25},
                         {"model", "gpt2"},
                         {"version", VITRINE_VERSION}};
  for (const auto& [name, value] : expected.items()) EXPECT_EQ(request[name], value) << name;
  EXPECT_EQ(request["options"], (Json{{"window", 32},
                                      {"overlap", 2},
                                      {"split", "line"},
                                      {"field", "body"},
                                      {"skip_bad", true},
                                      {"special", true},
                                      {"prepend", true},
                                      {"shard_tokens", 64},
                                      {"batch_tokens", 16}}));
  EXPECT_EQ(request["loading"]["threads"], 3);
  EXPECT_EQ(request["loading"]["dtype"], "bf16");
  EXPECT_EQ(request["loading"]["bos"], "none");
  EXPECT_EQ(request["loading"]["arithmetic"], "exact");
  EXPECT_TRUE(request["loading"]["adapter"].is_null());
}

TEST(CorpusCommand, HandsACaptureToSaeLens) {
  const TempFolder folder;
  const CliOptions python = {.environment = {echoing_python(folder)}};
  const CliResult result = run_cli({"corpus", "acts", "--to", "sae-lens", "--out", "arrow",
                                    "--capture", kSite, "--window", "16"},
                                   python);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(Json::parse(result.out), (Json{{"do", "sae-lens"},
                                           {"json", false},
                                           {"from", "acts"},
                                           {"out", "arrow"},
                                           {"site", kSite},
                                           {"window", 16},
                                           {"version", VITRINE_VERSION}}));
  expect_refused({"corpus", "a", "b", "--to", "sae-lens", "--out", "arrow"}, {"2 were given"},
                 python);
  expect_refused({"corpus", "a", "--to", "arrow", "--out", "arrow"}, {"--to", "sae-lens"}, python);
  expect_refused({"corpus", "a", "--to", "sae-lens", "--out", "arrow", "--store", "f16"},
                 {"--store cannot be used with --to"}, python);
}

TEST(CorpusCommand, SaysWhatTheClusterLacks) {
  const TempFolder folder;
  const std::string path = corpus(folder, 1);
  const std::vector<std::string> ray = {"corpus", path,    "--capture", kSite,
                                        "--out",  "acts/", "--ray",     "auto"};
  const auto with = [&](std::vector<std::string> words) {
    words.insert(words.begin(), ray.begin(), ray.end());
    return words;
  };
  const auto python = [](const char* named) {
    return CliOptions{.environment = {{"VITRINE_PYTHON", named}, {"PYTHONPATH", ""}}};
  };
  expect_refused(ray, {"--ray needs Python", "'/nowhere/python' cannot be started: No such file"},
                 python("/nowhere/python"));
  if (fs::exists("/usr/bin/python3"))
    expect_refused(ray,
                   {"--ray needs the Python package vitrine in /usr/bin/python3: No module named"},
                   python("/usr/bin/python3"));
  expect_refused(with({"--rank", "0", "--world", "2"}), {"--rank cannot be used with --ray"});
  expect_refused(with({"--repair"}), {"--repair cannot be used with --ray"});
  expect_refused(with({"--actors", "3,2"}), {"invalid --actors"});
  expect_refused(with({"-"}), {"standard input (-) cannot be read by the actors of --ray"});
  expect_refused(with({"--edit", "blocks.0.hook_mlp_out=twice"}), {"twice"});
}

TEST(CovarianceCommand, NumbersAreTheLibrarys) {
  const TempFolder folder;
  const std::string path = corpus(folder, 8), out = (folder / "c.safetensors").string();
  const std::string site = std::string(kSite) + "[neurons=0..3]";
  const Json json = run_json({"covariance", path, "--model", plain(), "--capture", site, "--ddof",
                              "2", "--components", "2", "--top", "4", "--out", out});
  const Model model = Model::load(plain());
  Hooks hooks;
  hooks.capture(kSite, {.neurons = {0, 1, 2, 3}});
  const CorpusMoments wanted =
      corpus_moments(model, WindowReader(model, DocumentReader({path})), hooks);
  const Covariance covariance = wanted.sites[0].moments.covariance(2);
  const Json& result = json["results"][0];
  EXPECT_EQ(result["name"], kSite);
  EXPECT_EQ(result["observations"], covariance.observations);
  EXPECT_EQ(result["mean"], Json(covariance.mean)) << "every digit";
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < 4; ++j)
      EXPECT_EQ(result["covariance"][i][j].get<double>(),
                covariance.at(static_cast<int64_t>(i), static_cast<int64_t>(j)));
  }
  EXPECT_EQ(result["components"].size(), 2u);
  ASSERT_EQ(result["strongest"].size(), 4u);
  double before = 2;
  for (const Json& pair : result["strongest"]) {
    EXPECT_LE(std::abs(pair["correlation"].get<double>()), before);
    before = std::abs(pair["correlation"].get<double>());
    EXPECT_EQ(
        pair["correlation"],
        result["correlation"][pair["indices"][0].get<size_t>()][pair["indices"][1].get<size_t>()]);
  }
  const SafetensorsFile file(out);
  EXPECT_EQ(file.tensor("components.0").shape(), (Shape{2, 4}));
  EXPECT_EQ(file.tensor("strongest_indices.0").shape(), (Shape{4, 2}));
  EXPECT_EQ(Json::parse(file.metadata().at("facts.0"))["name"], kSite);
  EXPECT_EQ(file.metadata().at("variable.0"), R"(["0","1","2","3"])");
  std::vector<double> values(16);
  ASSERT_EQ(file.tensor("covariance.0").bytes(), 16 * sizeof(double));
  std::memcpy(values.data(), file.tensor("covariance.0").data(), 16 * sizeof(double));
  EXPECT_EQ(values, covariance.values);
}

TEST(CovarianceCommand, RanksMerge) {
  const TempFolder folder;
  const std::string path = corpus(folder, 9);
  std::vector<std::string> merge = {"covariance", "--merge"};
  const std::vector<std::string> common = {
      "covariance", path, "--model", plain(), "--capture", std::string(kSite) + "[neurons=5,6]"};
  const Json whole = run_json(common);
  for (const char* rank : {"0", "1"}) {
    auto command = common;
    const std::string state = (folder / (std::string("rank") + rank + ".safetensors")).string();
    command.insert(command.end(), {"--rank", rank, "--world", "2", "--state", state});
    run_json(command);
    merge.push_back(state);
  }
  const Json merged = run_json(merge);
  EXPECT_EQ(merged["corpus"]["tokens"], whole["corpus"]["tokens"]);
  for (size_t i = 0; i < 2; ++i) {
    for (size_t j = 0; j < 2; ++j) {
      const double value = whole["results"][0]["covariance"][i][j];
      // Two ways of adding the same numbers up; far above rounding, far below anything that a
      // reader sees.
      EXPECT_NEAR(merged["results"][0]["covariance"][i][j].get<double>(), value,
                  1e-10 * whole["results"][0]["covariance"][0][0].get<double>());
    }
  }
  expect_refused({"covariance", "--merge", merge[2]}, {"rank 1 of 2 is missing"});
}

TEST(CovarianceCommand, ATableWithoutAModel) {
  const TempFolder folder;
  const std::string path = folder.write(
      "t.csv", "height,\"weight, kg\",n,same\n1,10,2,3\n2,12,1,3\n4,11,0,3\n3,17,3,3\n");
  const Json json = run_json({"covariance", "--data", path, "--fweights", "n"});
  const Json& result = json["results"][0];
  // By hand: heights 1 1 2 3 3 3, weights 10 10 12 17 17 17; means 13/6 and 83/6; divisor 5.
  EXPECT_EQ(result["variables"], Json({"height", "weight, kg", "same"}));
  EXPECT_EQ(result["divisor"], 5);
  EXPECT_NEAR(result["mean"][0].get<double>(), 13.0 / 6, 1e-14);
  EXPECT_NEAR(result["covariance"][0][0].get<double>(), (33 - 169.0 / 6) / 5, 1e-13);
  EXPECT_NEAR(result["covariance"][0][1].get<double>(), (197 - 13 * 83.0 / 6) / 5, 1e-13);
  EXPECT_EQ(result["covariance"][2][2], 0);
  EXPECT_TRUE(result["correlation"][2][2].is_null()) << "what does not vary has no correlation";
  EXPECT_EQ(result["series"][1],
            Json({{"variable", "weight, kg"}, {"values", {10.0, 12.0, 11.0, 17.0}}}));
  const std::string csv = (folder / "c.csv").string();
  const std::string out =
      run_cli({"covariance", "--data", path, "--fweights", "n", "--width", "0", "--csv", csv}).out;
  // The variance of the weights is (1211 - 83^2 / 6) / 5, so that r is 3.43333 / sqrt(0.966667 *
  // 12.5667).
  EXPECT_TRUE(says(out,
                   "The strongest pair of variables is height and weight, kg, with a "
                   "correlation of +0.9851: where one is above its mean, the other tends to be "
                   "above its own. Their covariance is +3.43333, of the same sign",
                   "1 of 3 variables are constant and have no correlation: same"));
  EXPECT_TRUE(says(read_bytes(csv), "result,row,column,covariance,correlation\n0,height,height,",
                   "\n0,same,same,0,\n"));
  EXPECT_TRUE(says(out, "3 variables, 4 observations that weigh 6, divisor 5 (ddof 1)",
                   "weight, kg", "+3.433", "on the diagonal: variances"));
  EXPECT_NE(run_cli({"covariance", "--data", path, "--color", "always"}).out.find("\x1b["),
            std::string::npos);
  // Without a common unit correlations come first.
  const std::string mixed =
      run_cli({"covariance", "--values", "1 0.010; 2 0.012; 4 0.011; 3 0.017"}).out;
  EXPECT_LT(mixed.find("cells: correlations"), mixed.find("cells: on the diagonal: variances"));
  EXPECT_TRUE(says(mixed, "\n          0         1\n0         1   "))
      << "names end where their numbers do";
  EXPECT_NE(mixed.find("cells: on the diagonal: variances"), std::string::npos);

  expect_refused({"covariance", "--data", folder.write("u.csv", "a,b\n1,2\n3,x\n")},
                 {"u.csv:3: invalid value 'x' in column 'b': expected a finite number"});
  expect_refused({"covariance", "--data", path, "--fweights", "m"},
                 {"t.csv:1: missing column 'm' of weights"});
  expect_refused({"covariance", "--data", path, "--fweights", "height", "--ddof", "10"},
                 {"the divisor of the covariance is 0"});
  expect_refused({"covariance", "--data", folder.write("v.csv", "a,b\n1,2\n3\n")}, {"v.csv:3: "});
  expect_refused({"covariance", "--data", path, "--capture", kSite},
                 {"--capture cannot be used with --data"});
  expect_refused({"covariance", "--data", path, "--merge", "x"},
                 {"--data cannot be used with --merge"});
  expect_refused({"covariance"}, {"missing data: expected files of a corpus"});
}

}  // namespace
}  // namespace vitrine::testing
