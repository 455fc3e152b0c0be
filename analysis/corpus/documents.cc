// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "analysis/corpus/byte_source.h"
#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "vitrine/corpus/corpus.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

bool is_jsonl(const std::string& path) { return path.ends_with(".jsonl"); }

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

void check_path(const std::string& path) {
  if (path == "-") return;
  std::error_code ignored;
  const auto status = fs::status(path, ignored);
  if (!fs::exists(status))
    user_error("{}: no such file: expected the files of the corpus, or - for standard input", path);
  if (fs::is_directory(status)) user_error("{}: is a directory: expected a file", path);
  const ByteSource readable(
      fs::is_regular_file(status) ? path : "/dev/null");  // a pipe may be opened only once
}

uint64_t size_of(const std::string& path) {
  std::error_code error;
  if (path == "-" || !fs::is_regular_file(path, error)) return 0;
  const uintmax_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

/// A document before it is looked into.
struct Raw {
  std::string text;
  int64_t line = 1;
  uint64_t offset = 0;
  bool too_long = false;
  /// Of a paragraph, whose text leaves CRs out: the offset in the file of its first bad byte, and
  /// that byte.
  std::optional<std::pair<uint64_t, unsigned char>> bad = {};
};

/// Cuts one file into documents.
class FileSplitter {
 public:
  FileSplitter(const std::string& path, DocumentSplit split, uint64_t limit)
      : source_(path), split_(is_jsonl(path) ? DocumentSplit::kLine : split), limit_(limit) {}

  bool next(Raw& raw) {
    const bool first = !std::exchange(begun_, true);
    if (split_ == DocumentSplit::kFile) return first && next_file(raw);
    const bool found = split_ == DocumentSplit::kLine ? next_line(raw) : next_paragraph(raw);
    if (!found && first) raw = {};  // a file without a document is an empty one
    return found || first;
  }

  uint64_t bytes_read() const { return source_.offset(); }
  bool at_end() { return source_.at_end(); }

  /// Continues with a document that begins after `offset`; a whole file begins again.
  void seek(uint64_t offset) {
    if (split_ == DocumentSplit::kFile) return;
    source_.seek(offset);
    begun_ = true;
    Raw rest = start();
    source_.line(rest.text, 0, rest.too_long);
    if (split_ == DocumentSplit::kParagraph) next_paragraph(rest);
  }

 private:
  bool next_file(Raw& raw) {
    raw = start();
    raw.too_long = !source_.rest(raw.text, limit_);
    return true;
  }

  /// Blank lines are empty documents, but not at the end of the file: they wait for a line that
  /// shows that it is not the end.
  bool next_line(Raw& raw) {
    while (!after_blank_) {
      Raw line = start();
      if (!read_line(line)) return false;
      if (line.too_long || !is_blank(line.text)) {
        if (line.text.ends_with('\r')) line.text.pop_back();
        after_blank_ = std::move(line);
      } else {
        if (blank_.empty()) first_blank_ = {.text = {}, .line = line.line, .offset = line.offset};
        blank_ += line.text + '\n';
      }
    }
    if (blank_at_ < blank_.size()) {
      raw = first_blank_;
      const size_t next = blank_.find('\n', blank_at_) + 1;
      ++first_blank_.line;
      first_blank_.offset += next - blank_at_;
      blank_at_ = next;
    } else {
      raw = std::move(*after_blank_);
      after_blank_.reset();
      blank_.clear();
      blank_at_ = 0;
    }
    return true;
  }

  bool next_paragraph(Raw& raw) {
    bool any = false;
    for (Raw line = start(); read_line(line); line = start()) {
      if (!line.too_long && is_blank(line.text)) {
        if (any) break;
        continue;
      }
      if (const size_t bad = first_bad_byte(line.text); bad < line.text.size())
        line.bad = {line.offset + bad, static_cast<unsigned char>(line.text[bad])};
      if (line.text.ends_with('\r')) line.text.pop_back();
      if (!any) {
        raw = std::move(line);
      } else {
        raw.too_long =
            raw.too_long || line.too_long || raw.text.size() + 1 + line.text.size() > limit_;
        if (raw.too_long)
          raw.text.clear();
        else
          raw.text += '\n' + line.text;
        if (!raw.bad) raw.bad = line.bad;
      }
      any = true;
    }
    return any;
  }

  Raw start() const { return {.text = {}, .line = lines_ + 1, .offset = source_.offset()}; }

  bool read_line(Raw& raw) {
    ++lines_;
    return source_.line(raw.text, limit_, raw.too_long);
  }

  ByteSource source_;
  DocumentSplit split_;
  uint64_t limit_;
  bool begun_ = false;
  int64_t lines_ = 0;
  std::string blank_;    // lines, as they are in the file: millions of them take no more
  size_t blank_at_ = 0;  // of the next one
  Raw first_blank_;      // where that one is
  std::optional<Raw> after_blank_;
};

std::vector<int32_t> ids_from(const Json& list, int64_t vocab) {
  if (!list.is_array())
    user_error("has \"ids\" of {}: expected a list of token ids", describe_json(list));
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    const bool is_id = id.is_number_integer() && id >= 0 && id <= 0x7fffffff;
    if (!is_id) user_error("has the invalid token id {} in its \"ids\"", describe_json(id));
    if (vocab > 0 && id >= vocab)
      user_error("has the token id {} out of range: expected 0..{}", id.get<int64_t>(), vocab - 1);
    ids.push_back(id.get<int32_t>());
  }
  if (ids.empty()) user_error("has no token ids");
  return ids;
}

Json parse_json_line(const std::string& line) {
  try {
    return parse_json(line, "line");
  } catch (const Error& error) {  // "line:1:COLUMN: what is wrong", or "line: what is wrong"
    const std::string_view what = error.what();
    if (what.starts_with("line:1:")) user_error("is not JSON: column {}", what.substr(7));
    user_error("is not JSON{}", what.substr(4));
  }
}

/// Fills text or ids from a line of JSON.
void parse_line(Document& document, const std::string& line, const CorpusOptions& options) {
  const Json json = parse_json_line(line);
  if (!json.is_object()) user_error("is {}: expected a JSON object", describe_json(json));
  const auto text = json.find(options.field);
  if (text != json.end() && !text->is_null()) {
    if (!text->is_string())
      user_error("has {} in its field {}: expected a string", describe_json(*text),
                 quote(options.field));
    document.text = text->get<std::string>();
    if (document.text.empty()) user_error("has an empty field {}", quote(options.field));
    return;
  }
  const auto ids = json.find("ids");
  if (ids == json.end()) user_error("has neither the field {} nor \"ids\"", quote(options.field));
  document.ids = ids_from(*ids, options.vocab);
}

/// Moves the raw text into the document. Throws Error (user) with what is wrong, for a sentence
/// that begins with the document.
void parse(Document& document, Raw& raw, const CorpusOptions& options) {
  if (raw.too_long)
    user_error("is too long: expected at most {}",
               human_bytes(static_cast<double>(options.max_document_bytes)));
  if (raw.text.empty()) user_error("is empty");
  if (const size_t at = first_bad_byte(raw.text); !raw.bad && at < raw.text.size())
    raw.bad = {raw.offset + at, static_cast<unsigned char>(raw.text[at])};
  if (raw.bad) {
    const auto [offset, byte] = *raw.bad;
    if (byte == 0) user_error("has a NUL byte at offset {} of the file", offset);
    user_error("is not UTF-8: byte 0x{:02x} at offset {} of the file", byte, offset);
  }
  if (is_jsonl(document.source))
    parse_line(document, raw.text, options);
  else
    document.text = std::move(raw.text);
}

}  // namespace

DocumentSplit document_split_from_name(std::string_view name) {
  for (const auto split : {DocumentSplit::kFile, DocumentSplit::kLine, DocumentSplit::kParagraph}) {
    if (name == document_split_name(split)) return split;
  }
  user_error("unknown split {}: expected file, line or paragraph", quote(name));
}

std::string_view document_split_name(DocumentSplit split) {
  switch (split) {
    case DocumentSplit::kFile:
      return "file";
    case DocumentSplit::kLine:
      return "line";
    case DocumentSplit::kParagraph:
      return "paragraph";
  }
  return "";
}

struct DocumentReader::State {
  std::vector<std::string> paths;
  CorpusOptions options;
  size_t next_path = 0;
  std::unique_ptr<FileSplitter> splitter;  // of paths[next_path - 1]
  int64_t documents = 0, skipped = 0;
  std::string first_skipped;
  uint64_t finished_bytes = 0, total_bytes = 0;
  bool sampled = false;  // ranks do not count, and bad documents are skipped

  bool only_whole_files() const {
    return options.split == DocumentSplit::kFile &&
           std::none_of(paths.begin(), paths.end(), is_jsonl);
  }

  void open(size_t index) {
    finished_bytes = 0;
    for (size_t i = 0; i < index; ++i) finished_bytes += size_of(paths[i]);
    next_path = index + 1;
    splitter =
        std::make_unique<FileSplitter>(paths[index], options.split, options.max_document_bytes);
  }

  /// At a byte of the corpus, or at its beginning where no document begins after it.
  void open_at(uint64_t place) {
    size_t index = 0;
    for (uint64_t size = size_of(paths[0]); place >= size && index + 1 < paths.size();
         size = size_of(paths[++index]))
      place -= size;
    open(index);
    splitter->seek(place);
    if (splitter->at_end() && index + 1 == paths.size()) open(0);
  }

  bool next_raw(Raw& raw) {
    for (;;) {
      if (splitter && splitter->next(raw)) return true;
      if (splitter) finished_bytes += splitter->bytes_read();
      splitter.reset();
      if (next_path == paths.size()) return false;
      splitter = std::make_unique<FileSplitter>(paths[next_path++], options.split,
                                                options.max_document_bytes);
    }
  }
};

DocumentReader::DocumentReader(std::vector<std::string> paths, CorpusOptions options)
    : state_(std::make_unique<State>()) {
  if (paths.empty())
    user_error("missing files of the corpus: expected at least one, or - for standard input");
  if (options.world < 1) user_error("invalid world of {} ranks: expected 1 or more", options.world);
  if (options.rank < 0 || options.rank >= options.world)
    user_error("rank {} is out of range: expected 0..{}", options.rank, options.world - 1);
  if (std::count(paths.begin(), paths.end(), "-") > 1)
    user_error("duplicate standard input (-): expected at most one");
  bool sized = true;
  for (const std::string& path : paths) {
    check_path(path);
    std::error_code ignored;
    sized = sized && path != "-" && fs::is_regular_file(path, ignored);
    state_->total_bytes += size_of(path);
  }
  if (!sized) state_->total_bytes = 0;
  state_->paths = std::move(paths);
  state_->options = std::move(options);
}

DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;
DocumentReader& DocumentReader::operator=(DocumentReader&&) noexcept = default;
DocumentReader::~DocumentReader() = default;

bool DocumentReader::next(Document& document) {
  State& s = *state_;
  for (Raw raw; s.next_raw(raw);) {
    const int64_t index = s.documents++;
    if (!s.sampled && index % s.options.world != s.options.rank) continue;
    document = {.index = index,
                .source = s.paths[s.next_path - 1],
                .line = raw.line,
                .offset = raw.offset,
                .text = {},
                .ids = {}};
    try {
      parse(document, raw, s.options);
    } catch (const Error& error) {
      refuse(document, error.what());
      continue;
    }
    return true;
  }
  return false;
}

void DocumentReader::refuse(const Document& document, std::string_view reason) {
  const bool skip = state_->options.skip_bad || state_->sampled;
  if (skip && state_->skipped++ > 0) return;
  const std::string where = document.source == "-" ? "standard input" : document.source;
  const std::string line =
      state_->sampled
          ? fmt::format("{}: the document at byte {} {}", where, document.offset, reason)
          : fmt::format("{}:{}: document {} {}", where, document.line, document.index, reason);
  if (!skip) user_error("{}; fix the document, or use `skip_bad`", line);
  state_->first_skipped = line;
}

void DocumentReader::sample(double share) {
  State& s = *state_;
  if (s.total_bytes == 0)
    user_error("cannot take a sample of standard input, a pipe or empty files: expected files");
  s.sampled = true;
  share = std::clamp(share, 0.0, 1.0);
  const auto part_of = [&](uint64_t count) {
    const auto at = static_cast<uint64_t>(share * static_cast<double>(count));
    return std::min(at, count - 1);
  };
  if (share == 0 || s.only_whole_files())
    s.open(part_of(s.paths.size()));
  else
    s.open_at(part_of(s.total_bytes));
}

const std::vector<std::string>& DocumentReader::paths() const { return state_->paths; }
const CorpusOptions& DocumentReader::options() const { return state_->options; }
int64_t DocumentReader::documents() const { return state_->documents; }
int64_t DocumentReader::skipped() const { return state_->skipped; }
const std::string& DocumentReader::first_skipped() const { return state_->first_skipped; }
uint64_t DocumentReader::bytes_read() const {
  return state_->finished_bytes + (state_->splitter ? state_->splitter->bytes_read() : 0);
}
uint64_t DocumentReader::total_bytes() const { return state_->total_bytes; }

}  // namespace vitrine
