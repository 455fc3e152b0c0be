// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/pipeline/characters.h"

namespace vitrine::internal {
namespace {

std::vector<AddedToken> as_normalized(std::vector<AddedToken> tokens,
                                      const Normalizer& normalizer) {
  for (AddedToken& token : tokens) {
    if (!token.normalized || !normalizer) continue;
    AlignedText content(token.content);
    normalizer(content);
    token.content = content.text();
  }
  // One of which nothing is left is in no text.
  std::erase_if(tokens, [](const AddedToken& token) { return token.content.empty(); });
  return tokens;
}

/// Where the token before ends and the next begins: white space that is in neither goes to the
/// next, other characters to the one before.
size_t boundary(std::string_view text, size_t end, size_t next) {
  while (end < next) {
    const Utf8Step step = utf8_step(text.substr(end, 4));
    if (step.valid && is_white_space(step.code_point)) break;
    end += step.length;
  }
  return std::min(end, next);
}

}  // namespace

/// One text on its way.
class PipelineTokenizer::Run {
 public:
  Run(const PipelineTokenizer& tokenizer, std::string_view text, Special special)
      : tokenizer_(tokenizer), special_(special) {
    const AlignedText whole(text);
    for (const auto& part : tokenizer.matching_.find(false, whole.text(), special)) {
      AlignedText slice = whole.slice(part.begin, part.end);
      if (part.id == AddedTokens::Segment::kText) {
        between(std::move(slice));
      } else {
        add(part.id, slice.span(0, slice.text().size()));
      }
    }
  }
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  void add(int32_t id, TextSpan span) { pieces_.push_back({id, span.begin, span.end}); }

  // Text that has no added token of those that are looked for before normalisation.
  void between(AlignedText text) {
    const PipelineSpec& spec = tokenizer_.spec_;
    if (spec.normalizer) spec.normalizer(text);
    for (const auto& part : tokenizer_.matching_.find(true, text.text(), special_)) {
      AlignedText slice = text.slice(part.begin, part.end);
      if (part.id != AddedTokens::Segment::kText) {
        add(part.id, slice.span(0, slice.text().size()));
        continue;
      }
      words_.clear();
      if (spec.pre_tokenizer) {
        spec.pre_tokenizer(std::move(slice), words_);
      } else {
        words_.push_back(std::move(slice));
      }
      for (const AlignedText& word : words_) add_word(word);
    }
  }

  void add_word(const AlignedText& word) {
    tokens_.clear();
    tokenizer_.spec_.model->tokenize(word.text(), memory_, tokens_);
    for (const WordToken& token : tokens_) add(token.id, word.span(token.begin, token.end));
  }

  const PipelineTokenizer& tokenizer_;
  Special special_;
  std::vector<Piece> pieces_;
  std::vector<AlignedText> words_;
  std::vector<WordToken> tokens_;
  WordMemory memory_;
};

class PipelineTokenizer::TextRun : public Decoding {
 public:
  explicit TextRun(const PipelineTokenizer& tokenizer)
      : tokenizer_(tokenizer), run_(tokenizer.spec_.decoder) {}
  void push(int32_t id, std::string& out) override {
    const std::string& name = tokenizer_.name_in_text(id);
    if (!name.empty()) run_.push(name, out);
  }
  void finish(std::string& out) override { run_.finish(out); }

 private:
  const PipelineTokenizer& tokenizer_;
  DecodeRun run_;
};

PipelineTokenizer::PipelineTokenizer(PipelineSpec spec)
    : spec_(std::move(spec)),
      matching_(as_normalized(spec_.added, spec_.normalizer)),
      vocab_size_(spec_.model->vocab().size()) {
  for (const AddedToken& token : spec_.added) vocab_size_ = std::max(vocab_size_, token.id + 1);
  added_names_.resize(static_cast<size_t>(vocab_size_));
  for (const AddedToken& token : spec_.added)
    added_names_[static_cast<size_t>(token.id)] = token.content;
  added_texts_ = added_names_;
  for (const AddedToken& token : matching_.tokens())
    added_texts_[static_cast<size_t>(token.id)] = token.content;
  settle_ends(spec_.added, spec_.ends);
}

std::vector<int32_t> PipelineTokenizer::encode(std::string_view text, Special special) const {
  const Run run(*this, text, special);
  std::vector<int32_t> ids;
  ids.reserve(run.pieces().size());
  for (const Piece& piece : run.pieces()) ids.push_back(piece.id);
  return ids;
}

std::vector<Tokenizer::Piece> PipelineTokenizer::encode_with_spans(std::string_view text,
                                                                   Special special) const {
  std::vector<Piece> pieces = Run(*this, text, special).pieces();
  size_t at = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const size_t end = i + 1 < pieces.size()
                           ? std::max(at, boundary(text, pieces[i].end, pieces[i + 1].begin))
                           : text.size();
    pieces[i].begin = std::exchange(at, end);
    pieces[i].end = end;
  }
  return pieces;
}

const std::string& PipelineTokenizer::name(int32_t id) const {
  check_id(id);
  const std::string& added = added_names_[static_cast<size_t>(id)];
  return added.empty() && id < spec_.model->vocab().size() ? spec_.model->vocab().name(id) : added;
}

const std::string& PipelineTokenizer::name_in_text(int32_t id) const {
  const std::string& token = name(id);
  const std::string& added = added_texts_[static_cast<size_t>(id)];
  return added.empty() ? token : added;
}

// What the token adds to a text that has begun.
std::string PipelineTokenizer::token_bytes(int32_t id) const {
  const std::string& token = name(id);
  if (token.empty() || !added_names_[static_cast<size_t>(id)].empty()) return token;
  const auto text_of = [&](std::initializer_list<std::string_view> tokens) {
    DecodeRun run(spec_.decoder);
    std::string text;
    for (const std::string_view one : tokens) run.push(std::string(one), text);
    run.finish(text);
    return text;
  };
  constexpr std::string_view kOther = "a";
  const std::string all = text_of({kOther, token, kOther});
  const size_t first = text_of({kOther}).size();
  const size_t last = text_of({kOther, kOther}).size() - first;
  return all.size() < first + last ? "" : all.substr(first, all.size() - first - last);
}

std::optional<int32_t> PipelineTokenizer::find_special(std::string_view name) const {
  const auto found = std::find_if(spec_.added.begin(), spec_.added.end(), [&](const AddedToken& t) {
    return t.special && t.content == name;
  });
  return found == spec_.added.end() ? std::nullopt : std::optional(found->id);
}

std::string PipelineTokenizer::description() const {
  return fmt::format("{}{}, {} tokens", spec_.byte_level ? "byte-level " : "", spec_.model->kind(),
                     vocab_size_);
}

std::unique_ptr<Tokenizer::Decoding> PipelineTokenizer::start_decoding() const {
  return std::make_unique<TextRun>(*this);
}

}  // namespace vitrine::internal
