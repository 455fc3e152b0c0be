// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/model.h"

namespace vitrine {

// Documents read from files one by one, and windows of tokens cut from them. One document is in
// memory at a time, for a corpus of any size.

/// Splitting of a text file into documents. A blank line is empty or consists of spaces and tabs.
/// Text is UTF-8; a byte order mark at the start is dropped. Lines end in LF or CRLF, which a
/// document of one line or paragraph does not hold; a document that is a whole file is kept as it
/// is.
enum class DocumentSplit : uint8_t {
  kFile,  ///< one document per file, line breaks included
  kLine,  ///< one document per line; a blank line inside the file is an empty document
  /// one document per block of lines between blank lines; its lines are joined with LF
  kParagraph,
};

/// Parses "file", "line" or "paragraph". Throws Error (user) that lists the names.
DocumentSplit document_split_from_name(std::string_view name);
std::string_view document_split_name(DocumentSplit split);

struct CorpusOptions {
  /// Splitting of text files; a .jsonl file has one document per line.
  DocumentSplit split = DocumentSplit::kFile;
  /// Field of a .jsonl object that holds the text; objects with "ids" need no text.
  std::string field = "text";
  /// true: documents that are empty, not UTF-8, hold NUL or are not JSON are skipped and counted.
  /// false: they throw.
  bool skip_bad = false;
  /// Reads the documents whose index modulo `world` is `rank`, so that `world` readers share a
  /// corpus without communication.
  int64_t rank = 0, world = 1;
  int64_t vocab = 0;  ///< exclusive upper bound of "ids"; 0: not checked
  /// Maximum length of a document in bytes; longer ones count as bad.
  uint64_t max_document_bytes = 1u << 28;
};

struct Document {
  /// Index among all documents of the corpus, from 0, including those of other ranks and bad ones.
  int64_t index = 0;
  std::string source;   ///< path of the file as given; "-" for standard input
  int64_t line = 1;     ///< line where the document begins, from 1
  uint64_t offset = 0;  ///< byte where the document begins, from 0
  std::string text;
  std::vector<int32_t> ids;  ///< instead of `text` if a .jsonl line has "ids"
};

/// Reads the documents of several files, in the order of the paths.
class DocumentReader {
 public:
  /// `paths`: text files, .jsonl files (recognised by extension), "-" for standard input (text).
  /// Throws Error (user) for an empty list, a path that is missing or unreadable, a file that
  /// begins as another format (gzip, UTF-16, Parquet, a Git LFS pointer, ...), a duplicate "-",
  /// and a rank outside 0..world-1.
  explicit DocumentReader(std::vector<std::string> paths, CorpusOptions options = {});
  DocumentReader(DocumentReader&&) noexcept;
  DocumentReader& operator=(DocumentReader&&) noexcept;
  ~DocumentReader();

  /// Reads the next document of this rank; returns false after the last. Throws Error (user) naming
  /// file and line for a bad document, unless skip_bad is set. A file without documents counts as
  /// one empty document.
  bool next(Document& document);
  /// Rejects a document that the caller found to be bad: throws, or counts it as skipped, as next()
  /// does.
  void refuse(const Document& document, std::string_view reason);
  /// For samples of a corpus: continues with a document near this share (0..1) of its bytes, or at
  /// its beginning for 0. From then on documents of all ranks are read, bad ones are skipped, and
  /// Document::index and Document::line count from an arbitrary one unless `share` was 0. Throws
  /// Error (user) where total_bytes() is 0.
  void sample(double share);

  const std::vector<std::string>& paths() const;
  const CorpusOptions& options() const;
  int64_t documents() const;  ///< number seen so far, including other ranks and bad ones
  int64_t skipped() const;    ///< number of bad documents of this rank so far
  /// Error message of the first bad document; empty if there was none.
  const std::string& first_skipped() const;
  uint64_t bytes_read() const;   ///< bytes read so far from all files
  uint64_t total_bytes() const;  ///< size of all files; 0 if standard input is one of them

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct WindowOptions {
  int64_t window = 0;  ///< tokens per window, 1..context; 0: the context
  /// Tokens at the end of a window that are repeated at the start of the next one, 0..window-1, as
  /// context. Their results are those of the earlier window.
  int64_t overlap = 0;
  /// Token id placed before every document; negative: none; see ScoreOptions::prepend.
  int32_t prepend = -1;
  bool special = false;  ///< true: text such as <|endoftext|> becomes the special token
};

/// A piece of a document. A window never holds tokens of two documents.
struct Window {
  int64_t document = 0;  ///< Document::index
  int64_t begin = 0;  ///< position of the first token in the document, counting the prepended token
  /// Number of leading tokens repeated from the previous window; 0 in the first.
  int64_t repeated = 0;
  std::vector<int32_t> ids;  ///< `repeated` tokens, then at least one new token

  int64_t new_tokens() const { return static_cast<int64_t>(ids.size()) - repeated; }
};

/// Cuts documents into windows, so that every token of a document is new in exactly one of them.
class WindowReader {
 public:
  /// Keeps a copy of the model. Throws Error (user) for a window, overlap or prepended id out of
  /// range. A corpus of text needs a model with a tokenizer.
  WindowReader(const Model& model, DocumentReader documents, const WindowOptions& options = {});

  /// Reads the next window; returns false after the last. Throws Error (user) as
  /// DocumentReader::next does, and for a document without tokens.
  bool next(Window& window);
  /// Skips to the position after the window that begins at `begin` in document `index`. Returns
  /// false if there is no such window. Valid only before the first call of next().
  bool skip_behind(int64_t index, int64_t begin);
  /// See DocumentReader::sample().
  void sample(double share);
  /// Whether the next window begins a document.
  bool between_documents() const { return end_ == ids_.size(); }
  /// Hash of this rank's documents up to that of the last window; depends on their bytes and order.
  uint64_t digest() const { return digest_; }

  const WindowOptions& options() const { return options_; }  ///< with defaults resolved
  const DocumentReader& documents() const { return documents_; }

 private:
  bool read_document();
  bool tokenize_document();

  Model model_;
  DocumentReader documents_;
  WindowOptions options_;
  Tokenizer::Special special_;
  Document document_;
  std::vector<int32_t> ids_;  // of the document, including the prepended token
  size_t end_ = 0;            // end of the last window
  uint64_t digest_ = 0;
};

}  // namespace vitrine
