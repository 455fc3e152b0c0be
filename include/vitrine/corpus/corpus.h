// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/model.h"

namespace vitrine {

// Documents from files, one after the other, and windows of tokens cut from them. However large the
// corpus is, one document is in memory at a time.

/// Where a document ends in a text file. A blank line has only spaces, tabs or nothing.
enum class DocumentSplit : uint8_t {
  kFile,       ///< a file is one document, line breaks included
  kLine,       ///< a line is one; a blank line inside the file is an empty one
  kParagraph,  ///< lines up to a blank one are
};

/// "file", "line", "paragraph". Throws Error (user) naming them for another word.
DocumentSplit document_split_from_name(std::string_view name);
std::string_view document_split_name(DocumentSplit split);

struct CorpusOptions {
  DocumentSplit split =
      DocumentSplit::kFile;    ///< of text files; a .jsonl file has one document a line
  std::string field = "text";  ///< of a .jsonl file's objects; one with "ids" needs no text
  /// A document that is empty, is not UTF-8 or is no JSON is left out and counted. Otherwise it
  /// ends the reading.
  bool skip_bad = false;
  /// Takes the documents whose index is `rank` modulo `world`: `world` readers share a corpus
  /// without speaking to each other.
  int64_t rank = 0, world = 1;
  int64_t vocab = 0;  ///< "ids" must be below; 0: not checked
  uint64_t max_document_bytes =
      1u << 28;  ///< a longer one is bad: a file of another kind, most likely
};

struct Document {
  /// Counts all documents of the corpus from 0: those of other ranks and the bad ones, too.
  int64_t index = 0;
  std::string source;   ///< the file, as it was named; "-" for standard input
  int64_t line = 1;     ///< where it begins in there, from 1
  uint64_t offset = 0;  ///< the same in bytes, from 0
  std::string text;
  std::vector<int32_t> ids;  ///< in place of text where a .jsonl line had "ids"
};

/// Reads documents of several files, in the order in which the files were named.
class DocumentReader {
 public:
  /// `paths`: text files, .jsonl files (known by their name), "-" for standard input (text).
  /// Throws Error (user) for no path, a path that is missing or cannot be read, "-" twice, and a
  /// rank outside 0..world-1.
  explicit DocumentReader(std::vector<std::string> paths, CorpusOptions options = {});
  DocumentReader(DocumentReader&&) noexcept;
  DocumentReader& operator=(DocumentReader&&) noexcept;
  ~DocumentReader();

  /// The next document of this rank; false behind the last. Throws Error (user) naming file and
  /// line for a bad document unless bad ones are skipped. A file without any document counts as one
  /// that is empty.
  bool next(Document& document);
  /// For whoever finds out only later that a document is of no use: throws, or counts it as
  /// skipped, as next() does.
  void refuse(const Document& document, std::string_view reason);

  const std::vector<std::string>& paths() const;
  const CorpusOptions& options() const;
  int64_t documents() const;  ///< seen so far, of all ranks, bad ones included
  int64_t skipped() const;    ///< bad ones of this rank so far
  /// What was wrong with the first bad document, as the refusal would have said it; empty if there
  /// was none.
  const std::string& first_skipped() const;
  uint64_t bytes_read() const;   ///< of all files so far
  uint64_t total_bytes() const;  ///< of all files; 0 where standard input is among them

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct WindowOptions {
  int64_t window = 0;  ///< tokens that the model sees at once, 1..context; 0: the context
  /// Tokens at the end of a window that stand at the front of the next one again, 0..window-1, to
  /// give its first tokens a context. Their results are those of the earlier window.
  int64_t overlap = 0;
  int32_t prepend =
      -1;  ///< an id before every document; see ScoreOptions::prepend. Negative: nothing
  bool special = false;  ///< text such as <|endoftext|> means the special token, not its characters
};

/// A piece of a document. A window never holds tokens of two documents.
struct Window {
  int64_t document = 0;  ///< Document::index
  int64_t begin = 0;     ///< position in the document of the first token; the prepended one counts
  int64_t repeated =
      0;  ///< so many tokens at the front were in the window before; 0 in a document's first
  std::vector<int32_t> ids;  ///< `repeated` known ones and at least one new

  int64_t new_tokens() const { return static_cast<int64_t>(ids.size()) - repeated; }
};

/// Cuts documents into windows, so that every token of a document is new in exactly one of them.
class WindowReader {
 public:
  /// Keeps the model. Throws Error (user) for a window, an overlap or a prepended id outside its
  /// range. A corpus of text needs a model with a tokenizer.
  WindowReader(const Model& model, DocumentReader documents, const WindowOptions& options = {});

  /// Throws Error (user) as DocumentReader::next does, and for a document that has no tokens.
  bool next(Window& window);
  /// Moves on to what follows the window that begins at `begin` in document `index`, without
  /// cutting what lies before. Returns false if the corpus has no such place. Only for a reader
  /// that has read nothing yet.
  bool skip_behind(int64_t index, int64_t begin);
  /// Of the documents of this rank up to the one that the last window came from: depends on their
  /// bytes and their order.
  uint64_t digest() const { return digest_; }

  const WindowOptions& options() const { return options_; }  ///< with the window as used
  const DocumentReader& documents() const { return documents_; }

 private:
  bool read_document();
  bool tokenize_document();

  Model model_;
  DocumentReader documents_;
  WindowOptions options_;
  Tokenizer::Special special_;
  Document document_;
  std::vector<int32_t> ids_;  // of the document, the prepended one included
  size_t end_ = 0;            // of its last window
  uint64_t digest_ = 0;
};

}  // namespace vitrine
