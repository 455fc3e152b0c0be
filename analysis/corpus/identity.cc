// SPDX-License-Identifier: MIT
#include "analysis/corpus/identity.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "analysis/common/config_fields.h"
#include "base/check.h"
#include "base/quote.h"
#include "base/xxhash64.h"

namespace vitrine::internal {
namespace {

constexpr int64_t kMaxIndex = std::numeric_limits<int64_t>::max();

std::string checksum(uint64_t digest) { return "xxh64:" + hex64(digest); }

/// Of all tokens' bytes, of how a text with a bit of everything is cut, and of what is put around
/// it.
std::string tokenizer_digest(const Tokenizer& tokenizer, const Tokenizer::Frame& frame) {
  Xxh64 hash;
  hash.update(tokenizer.description());
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    hash.update(tokenizer.token_bytes(id));
    hash.update(std::string_view("\0", 1));
  }
  try {
    const auto ids = tokenizer.encode(
        "It's 1987, isn't it?\n\n  The keys' caf\xc3\xa9 \xe2\x80\x94 <|endoftext|> "
        "\xe6\xbc\xa2\xe5\xad\x97");
    hash.update(std::as_bytes(std::span(ids)));
  } catch (const Error&) {
    // A vocabulary of words may have none for this text, and no token for unknown words.
    hash.update("no tokens");
  }
  // GPT-2's own puts nothing there, and has the digest that it always had.
  if (!frame.before.empty()) hash.update(fmt::format("before {}", fmt::join(frame.before, ",")));
  if (!frame.after.empty()) hash.update(fmt::format("after {}", fmt::join(frame.after, ",")));
  return checksum(hash.digest());
}

/// A list of numbers, as manifests have always had it, or as text what is none.
template <typename T>
Json indices_json(const Indices<T>& indices) {
  constexpr int64_t kMostListed = 1 << 20;
  const std::optional<int64_t> count = indices.count();
  if (!count || *count > kMostListed) return indices.text();
  Json list = Json::array();
  for (const auto& range : indices.ranges()) {
    for (T index = range.first; index <= range.last; ++index) list.push_back(index);
  }
  return list;
}

Json where_json(const Where& where) {
  return {{"layers", indices_json(where.layers)},
          {"positions", indices_json(where.positions)},
          {"heads", indices_json(where.heads)},
          {"neurons", indices_json(where.neurons)}};
}

Json edit_json(const Hooks::Change& change) {
  static constexpr const char* kKinds[] = {"add",     "scale",  "replace",
                                           "project", "source", "callback"};
  const Edit& edit = change.edit;
  if (edit.kind() == Edit::Kind::kSource || edit.kind() == Edit::Kind::kCallback) {
    user_error(
        "the edit of '{}' cannot be saved, so a run with it cannot be resumed; use add, scale, "
        "replace or project",
        change.sites.pattern());
  }
  Json json = {{"pattern", change.sites.pattern()},
               {"where", where_json(change.where)},
               {"change", kKinds[static_cast<size_t>(edit.kind())]}};
  if (edit.kind() == Edit::Kind::kScale) json["factor"] = edit.factor();
  if (edit.operand().empty()) return json;
  Xxh64 hash;
  hash.update(edit.operand().view().host_bytes());
  json["operand"] = edit.operand().shape().to_string() + " " + checksum(hash.digest());
  return json;
}

Json plan_json(const WindowReader& windows, const Hooks& hooks) {
  Json captures = Json::array(), edits = Json::array();
  for (const auto& capture : hooks.captures()) {
    captures.push_back({{"pattern", capture.sites.pattern()},
                        {"where", where_json(capture.where)},
                        {"store", dtype_name(capture.store)}});
  }
  for (const auto& change : hooks.edits()) edits.push_back(edit_json(change));
  const WindowOptions& options = windows.options();
  return {{"captures", captures},       {"edits", edits},
          {"window", options.window},   {"overlap", options.overlap},
          {"prepend", options.prepend}, {"special", options.special}};
}

/// Files are known by their own name, so that a corpus may be moved, and by their size; what was
/// read of them is checked by digest. skip_bad is left out: a user who meets a bad document late
/// may go on with it, and what lies before stays as it is.
Json corpus_json(const DocumentReader& documents) {
  Json files = Json::array();
  for (const std::string& path : documents.paths()) {
    std::error_code none;
    const auto size =
        path == "-" ? static_cast<uintmax_t>(-1) : std::filesystem::file_size(path, none);
    files.push_back({{"name", std::filesystem::path(path).filename().string()},
                     {"bytes", size == static_cast<uintmax_t>(-1) ? Json(nullptr) : Json(size)}});
  }
  const CorpusOptions& options = documents.options();
  return {{"files", files},
          {"split", document_split_name(options.split)},
          {"field", options.field},
          {"max_document_bytes", options.max_document_bytes}};
}

/// The path of the first difference, "model.config.layers", and the values there.
bool find_difference(const Json& here, const Json& there, std::string& path, Json& value_here,
                     Json& value_there) {
  if (here == there) return false;
  value_here = here;
  value_there = there;
  if (here.is_object() && there.is_object()) {
    for (const auto& [name, value] : here.items()) {
      const std::string before = path;
      path += (path.empty() ? "" : ".") + name;
      const auto other = there.find(name);
      if (find_difference(value, other == there.end() ? Json() : *other, path, value_here,
                          value_there))
        return true;
      path = before;
    }
  }
  if (here.is_array() && there.is_array() && here.size() == there.size()) {
    for (size_t i = 0; i < here.size(); ++i) {
      const std::string before = path;
      path += fmt::format("[{}]", i);
      if (find_difference(here[i], there[i], path, value_here, value_there)) return true;
      path = before;
    }
  }
  return true;
}

}  // namespace

Json corpus_identity(const Model& model, const WindowReader& windows, const Hooks& hooks,
                     const std::string& weights_digest) {
  const auto tokenizer = model.shared_tokenizer();
  const CorpusOptions& options = windows.documents().options();
  Json identity = {{"plan", plan_json(windows, hooks)},
                   {"corpus", corpus_json(windows.documents())},
                   {"rank", options.rank},
                   {"world", options.world}};
  identity["tokenizer"] =
      tokenizer ? Json(tokenizer_digest(*tokenizer, model.frame())) : Json(nullptr);
  identity["model"] = {{"name", model.name()},
                       {"config", config_fields<Json>(model.config())},
                       {"dtype", dtype_name(model.dtype())},
                       {"weights", weights_digest}};
  if (model.arithmetic() != "exact") identity["model"]["arithmetic"] = model.arithmetic();
  // As it will be when it is read back: a float32 comes back as the double that it was written as.
  return Json::parse(identity.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void check_same_identity(const Json& here, const Json& there, const std::string& where) {
  std::string path;
  Json value_here, value_there;
  if (!find_difference(here, there, path, value_here, value_there)) return;
  user_error(
      "{}: belongs to a different run: {} is {} there and {} here; resume with the same settings, "
      "or choose another path",
      where, path, describe_json(value_there), describe_json(value_here));
}

Json position_json(const CorpusPosition& position) {
  return {{"document", position.document},
          {"begin", position.begin},
          {"digest", checksum(position.digest)}};
}

CorpusPosition position_from(const Json& json, const std::string& file) {
  const JsonFields fields(json, file);
  CorpusPosition position;
  position.document = fields.require_integer("document", -1, kMaxIndex);
  position.begin = fields.require_integer("begin", 0, kMaxIndex);
  const std::string digest = fields.text("digest").value_or("");
  const auto [end, error] = std::from_chars(digest.data() + std::min<size_t>(6, digest.size()),
                                            digest.data() + digest.size(), position.digest, 16);
  if (error != std::errc() || end != digest.data() + digest.size() || digest.size() != 22)
    fields.refuse("digest", "expected xxh64: and 16 digits");
  return position;
}

void go_on_behind(WindowReader& windows, const CorpusPosition& position, const std::string& where) {
  if (position.document < 0) return;
  const bool found = windows.skip_behind(position.document, position.begin);
  if (found && windows.digest() == position.digest) return;
  user_error(
      "{}: belongs to a different corpus: {} document {} have changed; resume with the same files, "
      "or choose another path",
      where, found ? "the documents up to" : "the windows of", position.document);
}

}  // namespace vitrine::internal
