// SPDX-License-Identifier: MIT
#pragma once

/// Whole corpora: documents from files, and captures of them in files.

#include "vitrine/corpus/capture_file.h"
#include "vitrine/corpus/corpus.h"
#include "vitrine/corpus/corpus_capture.h"
#include "vitrine/corpus/corpus_moments.h"
