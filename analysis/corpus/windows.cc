// SPDX-License-Identifier: MIT
#include <algorithm>
#include <utility>

#include "analysis/common/options.h"
#include "base/random.h"
#include "base/xxhash64.h"
#include "vitrine/corpus/corpus.h"

namespace vitrine {
using namespace internal;
namespace {

/// Follows `before` by a document, in place and content.
uint64_t digest_with(uint64_t before, const Document& document) {
  Xxh64 hash(mix64(before ^ static_cast<uint64_t>(document.index)));
  hash.update(document.text);
  hash.update(std::as_bytes(std::span(document.ids)));
  return hash.digest();
}

}  // namespace

WindowReader::WindowReader(const Model& model, DocumentReader documents,
                           const WindowOptions& options)
    : model_(model),
      documents_(std::move(documents)),
      options_(options),
      special_(options.special ? Tokenizer::Special::kAllow : Tokenizer::Special::kText) {
  const Config& config = model.config();
  if (options_.window == 0) options_.window = config.context;
  if (options_.window < 1 || options_.window > config.context) {
    user_error("window {} is out of range: expected 1..{}, the model's context", options_.window,
               config.context);
  }
  if (options_.overlap < 0 || options_.overlap >= options_.window) {
    user_error(
        "overlap {} is out of range: expected 0..{}, since a window of {} tokens needs a new one",
        options_.overlap, options_.window - 1, options_.window);
  }
  options_.prepend = std::max(options_.prepend, -1);
  if (options_.prepend >= 0) check_id(config, options_.prepend, "prepended id");
}

bool WindowReader::read_document() {
  ids_.clear();
  end_ = 0;
  if (!documents_.next(document_)) return false;
  digest_ = digest_with(digest_, document_);
  return true;
}

bool WindowReader::tokenize_document() {
  if (options_.prepend >= 0) ids_.push_back(options_.prepend);
  const std::vector<int32_t>& given = document_.ids;
  const std::vector<int32_t> ids = given.empty() ? model_.encode(document_.text, special_) : given;
  if (ids.empty()) documents_.refuse(document_, "has no tokens");
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  return !ids.empty();
}

bool WindowReader::next(Window& window) {
  if (between_documents()) {
    do {
      if (!read_document()) return false;
    } while (!tokenize_document());
  }
  const size_t begin = end_ == 0 ? 0 : end_ - static_cast<size_t>(options_.overlap);
  const size_t end = std::min(begin + static_cast<size_t>(options_.window), ids_.size());
  window.document = document_.index;
  window.begin = static_cast<int64_t>(begin);
  window.repeated = static_cast<int64_t>(end_ - begin);
  window.ids.assign(ids_.begin() + static_cast<std::ptrdiff_t>(begin),
                    ids_.begin() + static_cast<std::ptrdiff_t>(end));
  end_ = end;
  return true;
}

void WindowReader::sample(double share) {
  documents_.sample(share);
  ids_.clear();
  end_ = 0;
}

bool WindowReader::skip_behind(int64_t index, int64_t begin) {
  // Documents before that one are read and digested, but no tokens are made of them.
  do {
    if (!read_document() || document_.index > index) return false;
  } while (document_.index < index);
  if (!tokenize_document()) return false;
  const int64_t step = options_.window - options_.overlap;
  if (begin < 0 || begin % step != 0 || begin >= static_cast<int64_t>(ids_.size())) return false;
  end_ = std::min(static_cast<size_t>(begin + options_.window), ids_.size());
  return true;
}

}  // namespace vitrine
