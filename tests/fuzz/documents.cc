// SPDX-License-Identifier: MIT
#include "tests/fuzz/fuzz.h"
#include "vitrine/corpus/corpus.h"

// Any file of a corpus, cut in any way: its bad documents are counted, and no good one is empty.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  return fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const size_t way = fuzz::choose(bytes, 4);
    const fuzz::Folder folder;
    const auto path = folder.write(way == 3 ? "corpus.jsonl" : "corpus.txt", fuzz::text_of(bytes));
    CorpusOptions options;
    options.split = static_cast<DocumentSplit>(way % 3);
    options.skip_bad = true;
    options.vocab = 100;
    options.max_document_bytes = 200;
    DocumentReader documents({path.string()}, options);
    int64_t good = 0;
    for (Document document; documents.next(document); ++good)
      fuzz::require(!document.text.empty() || !document.ids.empty());
    fuzz::require(good + documents.skipped() == documents.documents());
    fuzz::require(documents.bytes_read() == documents.total_bytes());
  });
}
