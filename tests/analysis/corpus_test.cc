// SPDX-License-Identifier: MIT
#include "vitrine/corpus/corpus.h"

#include <gtest/gtest.h>

#include <map>

#include "support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

std::vector<Document> all(std::vector<std::string> paths, const CorpusOptions& options = {}) {
  DocumentReader reader(std::move(paths), options);
  std::vector<Document> found;
  for (Document document; reader.next(document);) found.push_back(document);
  return found;
}

std::vector<std::string> texts(const std::vector<Document>& documents) {
  std::vector<std::string> found;
  for (const Document& document : documents) found.push_back(document.text);
  return found;
}

using Strings = std::vector<std::string>;

TEST(DocumentReader, CutsTextInThreeWays) {
  const TempFolder folder;
  const std::string path = folder.write("a.txt", "\n one\ntwo\r\n\n \t\n\nthree\n"),
                    second = folder.write("b.txt", "four");
  const auto whole = all({path, second});
  EXPECT_EQ(texts(whole), (Strings{"\n one\ntwo\r\n\n \t\n\nthree\n", "four"}));
  EXPECT_EQ(whole[1].source, second);
  EXPECT_EQ(whole[1].index, 1);

  const auto crlf = all({folder.write("d.txt", "\xef\xbb\xbfone\r\ntwo\r\n\r\nthree\r\n").string()},
                        {.split = DocumentSplit::kParagraph});
  EXPECT_EQ(texts(crlf), (Strings{"one\ntwo", "three"})) << "lines end in LF or CRLF";
  const std::string bad = folder.write("e.txt", "one\r\ntwo\r\nth\xff\r\n");
  EXPECT_TRUE(says(error_of([&] { all({bad}, {.split = DocumentSplit::kParagraph}); }),
                   "byte 0xff at offset 12 of the file"));
  EXPECT_TRUE(says(error_of([&] { all({folder.write("f.txt", "PAR1\x15\x04").string()}); }),
                   "f.txt: is a Parquet file: expected UTF-8 text; export it as .jsonl"));

  const auto paragraphs = all({path, second}, {.split = DocumentSplit::kParagraph});
  EXPECT_EQ(texts(paragraphs), (Strings{" one\ntwo", "three", "four"}));
  EXPECT_EQ(paragraphs[0].line, 2);
  EXPECT_EQ(paragraphs[0].offset, 1u);
  EXPECT_EQ(paragraphs[1].line, 7);
  EXPECT_EQ(paragraphs[1].offset, 16u);

  const auto lines = all({path, second}, {.split = DocumentSplit::kLine, .skip_bad = true});
  EXPECT_EQ(texts(lines), (Strings{" one", "two", "three", "four"}));
  EXPECT_EQ(lines[2].index, 6) << "blank lines have indices of their own";
  EXPECT_EQ(lines[2].line, 7);
  EXPECT_EQ(lines[2].offset, 16u);
}

TEST(DocumentReader, ReadsJsonLines) {
  const TempFolder folder;
  const std::string path =
      folder.write("a.jsonl",
                   "{\"text\": \"x\\n\\u00e9\"}\n{\"ids\": [3, 0]}\r\n{\"text\": \"y\", \"ids\": "
                   "[7], \"story\": \"z\"}\n\n\n");
  const auto found = all({path}, {.vocab = 8});
  ASSERT_EQ(found.size(), 3u) << "blank lines at the end are nothing";
  EXPECT_EQ(found[0].text, "x\n\xc3\xa9");
  EXPECT_EQ(found[1].ids, (std::vector<int32_t>{3, 0}));
  EXPECT_EQ(found[2].text, "y") << "text before ids";
  EXPECT_TRUE(found[2].ids.empty());
  EXPECT_EQ(found[2].line, 3);
  EXPECT_EQ(all({path}, {.field = "story", .rank = 2, .world = 3, .vocab = 8})[0].text, "z");
}

TEST(DocumentReader, LongLinesCrossItsBuffer) {
  const TempFolder folder;
  std::string text;
  Strings wanted;
  for (size_t i = 0; i < 5; ++i) {
    wanted.push_back(std::string(100'000 * i + 3, static_cast<char>('a' + i)));
    text += wanted.back() + "\n";
  }
  const std::string path = folder.write("a.txt", text);
  EXPECT_EQ(texts(all({path}, {.split = DocumentSplit::kLine})), wanted);
  const auto some =
      all({path}, {.split = DocumentSplit::kLine, .skip_bad = true, .max_document_bytes = 200'003});
  EXPECT_EQ(texts(some), (Strings{wanted[0], wanted[1], wanted[2]}));
  EXPECT_EQ(texts(all({path}, {.split = DocumentSplit::kParagraph}))[0] + "\n", text);
  EXPECT_TRUE(all({path}, {.skip_bad = true, .max_document_bytes = text.size() - 1}).empty());
  DocumentReader skips({path}, {.skip_bad = true, .max_document_bytes = text.size() - 1});
  Document none;
  EXPECT_FALSE(skips.next(none));
  EXPECT_EQ(skips.bytes_read(), skips.total_bytes());
  EXPECT_EQ(texts(all({path}, {.max_document_bytes = text.size()})), (Strings{text}));
}

TEST(DocumentReader, RanksShareTheDocuments) {
  const TempFolder folder;
  std::string text;
  for (int i = 0; i < 17; ++i)
    text += "document " + std::to_string(i) + (i == 5 ? "\xff" : "") + "\n";
  const std::string path = folder.write("a.txt", text);
  std::map<int64_t, std::string> found;
  int64_t skipped = 0;
  for (int64_t rank = 0; rank < 3; ++rank) {
    DocumentReader reader(
        {path}, {.split = DocumentSplit::kLine, .skip_bad = true, .rank = rank, .world = 3});
    for (Document document; reader.next(document);) {
      EXPECT_EQ(document.index % 3, rank);
      EXPECT_TRUE(found.emplace(document.index, document.text).second);
    }
    EXPECT_EQ(reader.documents(), 17);
    EXPECT_EQ(reader.bytes_read(), text.size());
    EXPECT_EQ(reader.total_bytes(), text.size());
    skipped += reader.skipped();
  }
  EXPECT_EQ(found.size(), 16u);
  EXPECT_EQ(skipped, 1) << "by the rank whose document it is";
  EXPECT_EQ(found.at(16), "document 16");
}

TEST(DocumentReader, AMarkOfByteOrderIsNoText) {
  const TempFolder folder;
  const auto found =
      all({folder.write("a.txt", "\xef\xbb\xbfx\ny\n")}, {.split = DocumentSplit::kLine});
  EXPECT_EQ(texts(found), (Strings{"x", "y"}));
  EXPECT_EQ(found[1].offset, 5u);
}

TEST(DocumentReader, EachBlankLineKnowsItsPlace) {
  const TempFolder folder;
  const std::string path = folder.write("a.txt", "one\n\n \t\r\n\n\xff\n\n\n");
  const char* wanted[] = {"", ":2: document 1 is empty", ":3: document 2 is empty",
                          ":4: document 3 is empty",
                          ":5: document 4 is not UTF-8: byte 0xff at offset 10"};
  for (int64_t rank = 1; rank < 5; ++rank) {
    EXPECT_TRUE(says(user_error_of([&] {
                       all({path}, {.split = DocumentSplit::kLine, .rank = rank, .world = 9});
                     }),
                     wanted[rank]));
  }
  EXPECT_EQ(all({path}, {.split = DocumentSplit::kLine, .rank = 5, .world = 9}).size(), 0u)
      << "blank lines at the end are nothing";
}

TEST(DocumentReader, NamesWhatIsBad) {
  const TempFolder folder;
  const auto refused = [&](const std::string& name, const std::string& contents,
                           const CorpusOptions& options) {
    const std::string path = folder.write(name, contents);
    const std::string message = user_error_of([&] { all({path}, options); });
    EXPECT_TRUE(message.starts_with(path)) << message;
    const std::string advice = "; fix the document, or use `skip_bad`";
    EXPECT_TRUE(message.ends_with(advice)) << message;
    CorpusOptions tolerant = options;
    tolerant.skip_bad = true;
    DocumentReader reader({path}, tolerant);
    for (Document document; reader.next(document);) EXPECT_EQ(document.text, "fine");
    EXPECT_EQ(reader.skipped(), 1);
    EXPECT_EQ(reader.first_skipped() + advice, message);
    return message.substr(path.size(), message.size() - path.size() - advice.size());
  };
  const CorpusOptions lines{.split = DocumentSplit::kLine, .vocab = 10, .max_document_bytes = 1000};
  EXPECT_EQ(refused("a.txt", "", {}), ":1: document 0 is empty");
  EXPECT_EQ(refused("a.txt", "", lines), ":1: document 0 is empty");
  EXPECT_EQ(refused("a.txt", "\n\n", {.split = DocumentSplit::kParagraph}),
            ":1: document 0 is empty");
  EXPECT_EQ(refused("a.jsonl", "", lines), ":1: document 0 is empty");
  EXPECT_EQ(refused("a.txt", "fine\n\nfine\n", lines), ":2: document 1 is empty");
  EXPECT_EQ(refused("a.txt", "fine\nx\xc3(\n", lines),
            ":2: document 1 is not UTF-8: byte 0xc3 at offset 6 of the file");
  EXPECT_EQ(refused("a.txt", "x\xed\xa0\x80", {}),
            ":1: document 0 is not UTF-8: byte 0xed at offset 1 of the file")
      << "a surrogate";
  EXPECT_EQ(refused("a.txt", std::string(1001, 'x'), lines),
            ":1: document 0 is too long: expected at most 1.00 kB");
  const std::string good = "{\"text\": \"fine\"}\n";
  EXPECT_TRUE(refused("a.jsonl", good + "{\"text\": \n", lines)
                  .starts_with(":2: document 1 is not JSON: column 10: invalid JSON"));
  EXPECT_EQ(refused("a.jsonl", good + "[1]\n", lines),
            ":2: document 1 is a list of 1 values: expected a JSON object");
  EXPECT_EQ(refused("a.jsonl", good + "{\"test\": \"x\"}\n" + good, lines),
            ":2: document 1 has neither the field 'text' nor \"ids\"");
  EXPECT_EQ(refused("a.jsonl", good + "{\"text\": 5}\n", lines),
            ":2: document 1 has 5 in its field 'text': expected a string");
  EXPECT_EQ(refused("a.jsonl", good + "{\"text\": \"\"}\n", lines),
            ":2: document 1 has an empty field 'text'");
  EXPECT_EQ(refused("a.jsonl", good + "{\"ids\": [1, -1]}\n", lines),
            ":2: document 1 has the invalid token id -1 in its \"ids\"");
  EXPECT_EQ(refused("a.jsonl", good + "{\"ids\": [1, 10]}\n", lines),
            ":2: document 1 has the token id 10 out of range: expected 0..9");
  EXPECT_EQ(refused("a.jsonl", good + "{\"ids\": []}\n", lines), ":2: document 1 has no token ids");
}

TEST(DocumentReader, RefusesBeforeReading) {
  const TempFolder folder;
  const std::string path = folder.write("a.txt", "x");
  const auto refused = [](std::vector<std::string> paths, const CorpusOptions& options = {}) {
    return user_error_of([&] { DocumentReader(std::move(paths), options); });
  };
  EXPECT_EQ(refused({}),
            "missing files of the corpus: expected at least one, or - for standard input");
  EXPECT_EQ(
      refused({path, folder / "no.txt"}).find((folder / "no.txt").string() + ": no such file"), 0u);
  EXPECT_EQ(refused({folder.path()}), folder.path().string() + ": is a directory: expected a file");
  EXPECT_EQ(refused({"-", path, "-"}), "duplicate standard input (-): expected at most one");
  EXPECT_EQ(refused({path}, {.rank = 2, .world = 2}), "rank 2 is out of range: expected 0..1");
  EXPECT_EQ(refused({path}, {.world = 0}), "invalid world of 0 ranks: expected 1 or more");
  EXPECT_THROW(document_split_from_name("word"), Error);
  EXPECT_EQ(document_split_from_name("paragraph"), DocumentSplit::kParagraph);
}

/// Documents of 1, 12, 13 and 30 tokens.
std::string some_documents(const TempFolder& folder) {
  std::string text;
  for (const size_t count : {1, 12, 13, 30}) {
    std::string ids;
    for (const int32_t id : some_ids(count, count))
      ids.append(ids.empty() ? "" : ",").append(std::to_string(id));
    text.append("{\"ids\": [").append(ids).append("]}\n");
  }
  return folder.write("ids.jsonl", text);
}

TEST(WindowReader, EveryTokenIsNewOnce) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = some_documents(folder);
  for (const WindowOptions& options : {WindowOptions{},
                                       {.window = 5},
                                       {.window = 5, .overlap = 2},
                                       {.window = 12, .overlap = 11},
                                       {.window = 1},
                                       {.window = 4, .overlap = 1, .prepend = 60}}) {
    WindowReader reader(model, DocumentReader({path}), options);
    std::map<int64_t, std::vector<int32_t>> documents;
    for (Window window; reader.next(window);) {
      auto& ids = documents[window.document];
      ASSERT_LE(static_cast<int64_t>(window.ids.size()), reader.options().window);
      ASSERT_GE(window.new_tokens(), 1);
      ASSERT_EQ(window.repeated, window.begin == 0 ? 0 : options.overlap);
      ASSERT_EQ(window.begin + window.repeated, static_cast<int64_t>(ids.size()));
      ASSERT_TRUE(std::equal(window.ids.begin(), window.ids.begin() + window.repeated,
                             ids.end() - window.repeated));
      ids.insert(ids.end(), window.ids.begin() + window.repeated, window.ids.end());
    }
    ASSERT_EQ(documents.size(), 4u);
    int64_t index = 0;
    for (const size_t count : {1, 12, 13, 30}) {
      auto wanted = some_ids(count, count);
      if (options.prepend >= 0) wanted.insert(wanted.begin(), options.prepend);
      EXPECT_EQ(documents[index++], wanted);
    }
  }
}

TEST(WindowReader, GoesOnBehindAnyWindow) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = some_documents(folder);
  const WindowOptions options{.window = 5, .overlap = 2};
  WindowReader whole(model, DocumentReader({path}), options);
  std::vector<Window> windows;
  std::vector<uint64_t> digests;
  for (Window window; whole.next(window);) {
    windows.push_back(window);
    digests.push_back(whole.digest());
  }
  ASSERT_GT(windows.size(), 12u);
  for (size_t i = 0; i < windows.size(); ++i) {
    WindowReader reader(model, DocumentReader({path}), options);
    ASSERT_TRUE(reader.skip_behind(windows[i].document, windows[i].begin));
    EXPECT_EQ(reader.digest(), digests[i]);
    size_t at = i;
    for (Window window; reader.next(window);) {
      ASSERT_LT(++at, windows.size());
      EXPECT_EQ(window.ids, windows[at].ids);
      EXPECT_EQ(window.begin, windows[at].begin);
      EXPECT_EQ(window.repeated, windows[at].repeated);
      EXPECT_EQ(reader.digest(), digests[at]);
    }
    EXPECT_EQ(at, windows.size() - 1);
  }
  for (const auto& [document, begin] :
       std::vector<std::pair<int64_t, int64_t>>{{4, 0}, {1, 1}, {1, 12}, {0, 3}, {1, -3}}) {
    EXPECT_FALSE(WindowReader(model, DocumentReader({path}), options).skip_behind(document, begin))
        << document << " " << begin;
  }
}

TEST(WindowReader, Refuses) {
  const Model model = small_model();
  const TempFolder folder;
  const auto refused = [&](const WindowOptions& options) {
    return user_error_of(
        [&] { WindowReader(model, DocumentReader({some_documents(folder)}), options); });
  };
  EXPECT_EQ(refused({.window = 13}),
            "window 13 is out of range: expected 1..12, the model's context");
  EXPECT_EQ(
      refused({.overlap = 12}),
      "overlap 12 is out of range: expected 0..11, since a window of 12 tokens needs a new one");
  EXPECT_EQ(refused({.prepend = 61}), "the prepended id 61 is out of range: expected 0..60");
  EXPECT_THROW(
      {
        Window window;
        WindowReader(model, DocumentReader({folder.write("a.txt", "text")})).next(window);
      },
      Error)
      << "no tokenizer";
}

}  // namespace
}  // namespace vitrine::testing
