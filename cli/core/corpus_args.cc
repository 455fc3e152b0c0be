// SPDX-License-Identifier: MIT
#include "cli/core/corpus_args.h"

#include <algorithm>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/progress_bar.h"
#include "vitrine/corpus/corpus_capture.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// Whether one of the files is of objects, or of text.
bool any_file(const CorpusArgs& args, bool objects) {
  return std::any_of(args.files.begin(), args.files.end(),
                     [=](const std::string& file) { return file.ends_with(".jsonl") == objects; });
}

int32_t prepended_id(const CorpusArgs& args, const Model& model) {
  if (args.prepend_id >= 0 || !args.prepend) return args.prepend_id;
  const auto begin = model.tokenizer().begin_of_text();
  if (!begin)
    user_error("missing begin-of-text token in the tokenizer of model '{}': use --prepend-id",
               model.name());
  return *begin;
}

}  // namespace

void add_corpus_options(Command& command, CorpusArgs& args) {
  const auto group = "Corpus";
  command
      .add_option("files", args.files,
                  "Text files, .jsonl files (one document per line: \"text\" or \"ids\"); - is "
                  "standard input")
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--split", args.split,
                  "Document unit of text files: file, line, paragraph (up to a blank line)")
      ->check(one_of({"file", "line", "paragraph"}))
      ->capture_default_str()
      ->type_name("WAY")
      ->group(group)
      ->only_if("a file of text", [&args] { return any_file(args, false); });
  command.add_option("--field", args.field, "Field of .jsonl objects that holds the text")
      ->capture_default_str()
      ->type_name("NAME")
      ->group(group)
      ->only_if("a .jsonl file", [&args] { return any_file(args, true); });
  command
      .add_flag(
          "--skip-bad", args.skip_bad,
          "Skip and count documents that are empty, not UTF-8 or not JSON, instead of stopping")
      ->group(group);
  command
      .add_option("--window", args.window,
                  "Tokens per window; longer documents are cut [the model's context]")
      ->check(above_zero())
      ->type_name("TOKENS")
      ->group(group);
  command
      .add_option("--overlap", args.overlap,
                  "Tokens repeated from the previous window as context, without new results")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("TOKENS")
      ->group(group);
  command.add_flag("--prepend", args.prepend, "Put the begin-of-text token before every document")
      ->group(group);
  command
      .add_option("--prepend-id", args.prepend_id,
                  "Put the token with this id before every document")
      ->check(not_negative())
      ->type_name("ID")
      ->group(group)
      ->not_with("--prepend");
  command
      .add_flag("--special", args.special, "Read text such as <|endoftext|> as the special token")
      ->group(group);
  command
      .add_option("--rank", args.rank,
                  "Process the documents whose index modulo WORLD is RANK [from RANK, "
                  "OMPI_COMM_WORLD_RANK, PMI_RANK or SLURM_PROCID]")
      ->check(not_negative())
      ->type_name("RANK")
      ->group(group);
  command
      .add_option("--world", args.world,
                  "Number of processes that share the corpus [from WORLD_SIZE, "
                  "OMPI_COMM_WORLD_SIZE, PMI_SIZE or SLURM_NTASKS]")
      ->check(above_zero())
      ->type_name("WORLD")
      ->group(group);
}

Rank rank_of(const CorpusArgs& args) {
  if (args.rank < 0 && args.world == 0) return rank_from_environment();
  if (args.rank < 0 || args.world == 0)
    user_error("missing --rank or --world: expected both, such as --rank 0 --world 4");
  if (args.rank >= args.world)
    user_error("--rank {} is out of range: expected 0..{}", args.rank, args.world - 1);
  return {args.rank, args.world, "--rank"};
}

WindowReader open_corpus(const CorpusArgs& args, const Rank& rank, const Model& model) {
  CorpusOptions corpus;
  corpus.split = document_split_from_name(args.split);
  corpus.field = args.field;
  corpus.skip_bad = args.skip_bad;
  corpus.rank = rank.rank;
  corpus.world = rank.world;
  corpus.vocab = model.config().vocab;
  return WindowReader(model, DocumentReader(args.files, corpus),
                      {.window = args.window,
                       .overlap = args.overlap,
                       .prepend = prepended_id(args, model),
                       .special = args.special});
}

std::string weights_digest(const std::string& model) {
  ProgressBar progress;
  return checkpoint_digest(Model::locate(model), &progress);
}

JsonValue rank_json(const Rank& rank) {
  return {{"rank", rank.rank},
          {"world", rank.world},
          {"from", rank.source.empty() ? JsonValue(nullptr) : JsonValue(rank.source)}};
}

std::string rank_text(const Rank& rank) {
  return rank.world == 1
             ? ""
             : fmt::format("rank {} of {} (from {})\n", rank.rank, rank.world, rank.source);
}

std::string skipped_text(const Terminal& out, int64_t skipped, const std::string& first) {
  if (skipped == 0) return "";
  const std::string line = fmt::format("{} bad {} left out{}\n", thousands(skipped),
                                       skipped == 1 ? "document was" : "documents were",
                                       first.empty() ? "" : "; the first:");
  return out.paint(Style::kBad, line) + (first.empty() ? "" : "  " + first + "\n");
}

}  // namespace vitrine::cli
