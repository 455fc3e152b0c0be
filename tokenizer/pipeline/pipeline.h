// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/pipeline/decoders.h"
#include "tokenizer/pipeline/normalizers.h"
#include "tokenizer/pipeline/pre_tokenizers.h"
#include "tokenizer/pipeline/word_models.h"
#include "vitrine/tokenizer.h"

namespace vitrine::internal {

/// The stages of a tokenizer, checked.
struct PipelineSpec {
  Normalizer normalizer;       ///< may be absent
  PreTokenizer pre_tokenizer;  ///< may be absent: the text is one word
  std::unique_ptr<WordModel> model;
  DecodeStages decoder;
  std::vector<AddedToken> added;
  TextEnds ends;
  bool byte_level = false;  ///< for the description
};

/// A tokenizer of stages, as Hugging Face tokenizers has them: added tokens are found, the text
/// between them is normalised and cut into words, and each word becomes tokens.
class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(PipelineSpec spec);

  std::vector<int32_t> encode(std::string_view text, Special special) const override;
  std::vector<Piece> encode_with_spans(std::string_view text, Special special) const override;
  std::string token_bytes(int32_t id) const override;
  std::optional<int32_t> find_special(std::string_view name) const override;
  std::optional<int32_t> end_of_text() const override { return spec_.ends.end; }
  std::optional<int32_t> begin_of_text() const override { return spec_.ends.begin; }
  int32_t vocab_size() const override { return vocab_size_; }
  std::string description() const override;
  const Frame& frame() const override { return spec_.ends.frame; }

 protected:
  std::unique_ptr<Decoding> start_decoding() const override;

 private:
  class Run;
  class TextRun;
  const std::string& name(int32_t id) const;
  const std::string& name_in_text(int32_t id) const;

  PipelineSpec spec_;
  AddedTokens matching_;  // with the contents that normalised text has
  // By id; empty: not an added token. Text has them in their normalised form, as in tokenizers.
  std::vector<std::string> added_names_, added_texts_;
  int32_t vocab_size_;
};

/// Reads a tokenizer.json of any kind. Throws Error (user), which calls it `file`.
PipelineSpec read_pipeline(const Json& root, const std::string& file);

}  // namespace vitrine::internal
