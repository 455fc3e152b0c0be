// SPDX-License-Identifier: MIT
#pragma once

/// Corpora: documents read from files, and captures written to files.

#include "vitrine/corpus/capture_file.h"
#include "vitrine/corpus/corpus.h"
#include "vitrine/corpus/corpus_capture.h"
#include "vitrine/corpus/corpus_estimate.h"
#include "vitrine/corpus/corpus_moments.h"
#include "vitrine/corpus/corpus_statistics.h"
#include "vitrine/corpus/shard_reader.h"
