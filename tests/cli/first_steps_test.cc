// SPDX-License-Identifier: MIT
// What a newcomer meets first: hints, and lines that fit a terminal of 80 columns.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "option_table.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
namespace {

// A text without its option, and texts whose ends are hardly meant.
TEST(FirstSteps, TextsWithoutAnOptionAndUnwantedEndsGetAHint) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  for (const auto& [command, options] : option_table()) {
    if (!find_option(command, "--prompt")) continue;
    const CliResult quoted = run_cli({command, "The keys to"}),
                    words = run_cli({command, "The", "keys", "to", "--json"});
    for (const CliResult& result : {quoted, words}) {
      EXPECT_EQ(result.status, 2) << command;
      EXPECT_EQ(
          result.err,
          "vitrine: unexpected text 'The keys to': expected --prompt 'The keys to'; see vitrine " +
              command + " --help\n");
    }
  }
  const auto note_of = [](const std::string& prompt) {
    const CliResult result = run_cli({"lens", "--prompt", prompt, "--json"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_FALSE(Json::parse(result.out, nullptr, false).is_discarded());
    EXPECT_LE(std::count(result.err.begin(), result.err.end(), '\n'), 1);
    return result.err;
  };
  for (const char* blank : {"The city of ", "The city of\t"})
    EXPECT_TRUE(says(note_of(blank), "vitrine: note: --prompt", "ends in a blank", "leave it out"));
  for (const char* gap : {"The city of ___", "The city of ____ ", "The city of ___."})
    EXPECT_TRUE(says(note_of(gap), "vitrine: note: --prompt", "___", "next token"));
  for (const char* usual : {"The city of", "___ is the city", "The city of\n", "..."})
    EXPECT_EQ(note_of(usual), "");
  TempFolder folder;
  folder.write("p.txt", "The keys\nThe city of \nThe key ___\n");
  const CliResult file = run_cli({"score", "--prompt-file", folder / "p.txt"});
  EXPECT_TRUE(says(file.err, "p.txt:2", "1 more"));
  EXPECT_EQ(std::count(file.err.begin(), file.err.end(), '\n'), 1);
}

/// Columns of a line as a terminal shows it: colours take none, wide characters two, and a progress
/// bar is written over.
size_t columns_of(std::string_view line) {
  size_t columns = 0;
  for (size_t i = 0; i < line.size();) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte == 0x1b) {
      i = line.find_first_of("mK", i);
      if (i++ == std::string_view::npos) break;
      continue;
    }
    const size_t bytes = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    // From the Hangul letters on most are wide, but for the symbols that pictures are made of.
    if (byte == '\r' && i + 1 < line.size())
      columns = 0;
    else if (byte != '\r')
      columns += byte >= 0xe3 && byte < 0xef ? 2 : 1;
    i += bytes;
  }
  return columns;
}

constexpr const char* kKeys = "The keys to the old cabinet are on the table. They are";
constexpr const char* kLong =
    "Heathrow airport is located in the city of London, and the river that runs through the city "
    "is "
    "called the Thames, on whose banks there are many old houses; 日本語の長い文章には空白がない";

/// One run of each command and mode that shows something of its own; "@" is a folder of inputs.
std::vector<std::vector<std::string>> wide_showings() {
  const std::string old = "The keys to the cabinet", other = "The key to the cabinet";
  return {
      {"lens", "-p", kLong},
      {"lens", "-p", kKeys, "-p", kLong, "--watch", " is, are, was, were"},
      {"lens", "-p", kKeys, "--watch", " is, are", "--kl", "--position", "-1"},
      {"lens", "-p", kLong, "--kl", "--position", "-1"},
      {"lens", "-p", kKeys, "-n", "3"},
      {"lens", "-p", kLong, "--show", "grid", "--cell", "kl"},
      {"lens", "--fit", "@stories.jsonl", "--translators", "@out/lens"},
      {"saliency", "-p", kLong},
      {"saliency", "-p", kLong, "-n", "3"},
      {"saliency", "-p", kLong, "-n", "3", "--show", "both"},
      {"saliency", "-p", kKeys, "--method", "integrated-gradients", "--steps", "4", "--target",
       " are", "--contrast", " is"},
      {"saliency", "-p", kKeys, "--continuation", " here now", "--contrast-text", " there then"},
      {"saliency", "-p", kLong, "--method", "span-occlusion", "--draws", "4"},
      {"attribute", "-p", kLong},
      {"attribute", "-p", kKeys, "--target", " are", "--against", " is", "--neurons", "3"},
      {"generate", "-p", kKeys, "-n", "3", "--log-probabilities", "4"},
      {"generate", "-p", kLong, "--choices", " are", "--choices",
       " which nobody has seen for a long time"},
      {"patch", "--clean", old, "--corrupt", other},
      {"patch", "--clean", old, "--corrupt", other, "--sweep", "heads"},
      {"patch", "--clean", old, "--corrupt", other, "--attribution"},
      {"patch", "--clean", old, "--corrupt", other, "--paths", "final"},
      {"patch", "--clean", old, "--ablate", "mean", "--others", "A man to the table"},
      {"patch", "--clean", old, "--trace", "keys", "--draws", "2"},
      {"noise", "-p", kLong, "--repetitions", "3", "--show", "both", "--examples", "2"},
      {"predictivity", "--stimuli", "@stimuli.csv", "--responses", "@responses.csv", "--bootstraps",
       "20", "--control-seeds", "1"},
      {"generate", "-p", kKeys, "-n", "2", "--capture", "blocks.*.hook_resid_post", "--out",
       "@out/g.safetensors"},
      {"score", "-p", kLong},
      {"score", "-p", kLong, "--words"},
      {"score", "-p", kLong, "--summary"},
      {"windows", "-p", kLong, "--window", "8"},
      {"attention", "-p", kLong},
      {"attention", "-p", kLong, "--mode", "rollout"},
      {"attention", "-p", kKeys, "--mode", "flow"},
      {"attention", "-p", kKeys, "--mode", "heads", "--sequences", "2", "--length", "8"},
      {"similarity", "-p", kLong},
      {"factors", "-p", kLong, "--components", "3"},
      {"concept", "--positive", "@glad.txt", "--negative", "@sad.txt"},
      {"capture", "-p", kLong, "--capture", "blocks.*.hook_resid_post", "--gradient",
       "blocks.*.attn.hook_z", "--target", " is", "--out", "@out/c.safetensors"},
      {"corpus", "@stories.jsonl", "--capture", "blocks.0.hook_resid_post", "--out", "@out/acts"},
      {"covariance", "--data", "@table.csv"},
      {"covariance", "@stories.jsonl", "--capture", "blocks.0.hook_resid_post"},
      {"tokenize", "-p", kLong},
      {"sites"},
      {"info"},
      {"doctor"},
      {"make-random", "@out/random", "--layers", "1", "--heads", "2", "--width", "16", "--vocab",
       "64"},
      {"convert", "demo", "-o", "@out/converted", "--dtype", "bf16", "--shard-size", "2MB"}};
}

void write_inputs(const TempFolder& folder) {
  std::string stories, stimuli = "text,group\n", responses = "one,two\n";
  for (int i = 0; i < 24; ++i) {
    stories += "{\"text\": \"The keys to the cabinet are on table " + std::to_string(i) + ".\"}\n";
    stimuli += "The man has " + std::to_string(i * 7) + " keys," + std::to_string(i / 3) + "\n";
    responses += std::to_string((i * 37) % 11) + "," + std::to_string((i * 53) % 7) + "\n";
  }
  folder.write("stories.jsonl", stories);
  folder.write("stimuli.csv", stimuli);
  folder.write("responses.csv", responses);
  folder.write("table.csv", "a,b,n\n1,2,1\n2,1,2\n4,5,1\n3,3,1\n");
  folder.write("glad.txt", "I am glad that the sun is out today\nWhat a joy it is to see you\n");
  folder.write("sad.txt", "I am sad that the sun is not out\nWhat a pity it is to see you here\n");
  std::filesystem::create_directory(folder / "out");
}

TEST(FirstSteps, EveryCommandFitsATerminalOf80Columns) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  // Short names of files, which are never broken.
  const TempFolder folder;
  write_inputs(folder);
  for (std::vector<std::string> words : wide_showings()) {
    for (std::string& word : words) {
      if (word.starts_with('@')) word = folder / word.substr(1);
    }
    SCOPED_TRACE(Json(words).dump());
    const CliResult shown = run_cli(words, {.terminal = true, .columns = 80});
    EXPECT_EQ(shown.status, 0) << shown.out;
    for (size_t begin = 0; begin < shown.out.size();) {
      const size_t end = std::min(shown.out.find('\n', begin), shown.out.size());
      const std::string line = shown.out.substr(begin, end - begin);
      const bool names_a_file = line.find(folder.path().string()) != std::string::npos;
      EXPECT_TRUE(columns_of(line) <= 80 || names_a_file) << columns_of(line) << ": " << line;
      begin = end + 1;
    }
  }
}

// Programs read lines.
TEST(FirstSteps, LinesStayWholeInAPipe) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const std::vector<std::string> sentences = {"covariance", "--values", "1 2; 2 5; 4 3; 3 9"};
  std::vector<std::string> narrow = sentences;
  narrow.insert(narrow.end(), {"--width", "60"});
  const auto longest = [](const std::string& text) {
    size_t columns = 0;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      columns = std::max(columns, columns_of(text.substr(begin, end - begin)));
      begin = end + 1;
    }
    return columns;
  };
  EXPECT_GT(longest(run_cli(sentences).out), 120u);
  EXPECT_LE(longest(run_cli(narrow).out), 60u);
  const CliResult tokens = run_cli({"tokenize", "-p", "international airports", "--width", "36"});
  EXPECT_TRUE(says(tokens.out, "bytes  token\n", "  2..5  ter\n", "  13..21  ␣airport\n"))
      << "a line a token";
}

TEST(FirstSteps, HelpFitsATerminalOf80Columns) {
  for (const auto& [command, options] : option_table()) {
    std::vector<std::string> words = {command, "--help"};
    if (command.empty()) words.erase(words.begin());
    const CliResult help = run_cli(words, {.terminal = true, .columns = 80});
    // Examples are lines to copy.
    const std::string text = help.out.substr(0, help.out.find("Example"));
    EXPECT_GT(text.size(), 100u) << command;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      EXPECT_LE(columns_of(text.substr(begin, end - begin)), 80u)
          << text.substr(begin, end - begin);
      begin = end + 1;
    }
  }
}

}  // namespace
}  // namespace vitrine::testing
