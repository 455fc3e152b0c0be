// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Attention: the maps themselves, their composition over layers (rollout and flow), and statistics
// of each head.
//
// L blocks, H heads, T tokens of the text, Q requested queries. A_l is the mean of block l's maps
// over its heads, [T, T]; rows are queries. Maps are causal: query i sees keys j <= i, and entries
// with j > i are 0.

struct AttentionOptions {
  Indices<int> layers = {};  ///< block indices; negative counts from the last; empty: all
  Indices<int> heads = {};   ///< head indices; negative counts from the last; empty: all
  /// Query positions; negative counts from the end of the text; empty: all.
  Indices<int64_t> queries = {};
  Hooks edits = {};  ///< edits applied during the run; captures are ignored
};

/// Attention maps (attn.hook_pattern) as the model computed them: float32; each row sums to 1.
struct AttentionMaps {
  std::vector<int32_t> ids;                  ///< [T] the text
  std::vector<int> layers;                   ///< ascending
  std::vector<int> heads;                    ///< ascending
  std::vector<int64_t> queries;              ///< [Q] ascending
  std::shared_ptr<const Captures> captures;  ///< owns the maps

  /// Map of one head, [Q, T], row-major. `layer` and `head` are indices into `layers` and `heads`.
  /// The span is valid as long as `captures`.
  std::span<const float> map(size_t layer, size_t head) const;
  /// Attention of one query over keys: [T].
  std::span<const float> row(size_t layer, size_t head, size_t query) const;
};

/// Runs the text once and holds layers x heads x Q x T numbers. Throws Error (user) as
/// Model::forward does, for an empty text, and for a layer, head or position out of range.
AttentionMaps attention(const Model& model, std::span<const int32_t> ids,
                        const AttentionOptions& options = {});

// Rollout and flow (Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers") weight the
// residual connection like attention: A'_l = (A_l + I) / 2, which is A_l + I with rows normalised
// to sum 1. The methods were published for encoders. GPT-2's maps are causal, so the first tokens
// collect more relevance than later ones can; applying the methods to GPT-2 is an extension of this
// library.

struct AttentionRolloutOptions {
  /// Blocks whose result is kept; negative counts from the last; empty: all.
  Indices<int> layers = {};
  /// Query positions in the last layer; negative counts from the end; empty: all.
  Indices<int64_t> queries = {};
  Hooks edits = {};  ///< edits applied during the run; captures are ignored
  /// Optional progress callback (counts tokens, then blocks); null disables reporting.
  Progress* progress = nullptr;
};

/// Share of each input token in each position of the residual stream, per layer.
struct AttentionRelevance {
  std::vector<int32_t> ids;      ///< [T] the text
  std::vector<int> layers;       ///< ascending; layer l is the residual stream after block l
  std::vector<int64_t> queries;  ///< [Q] ascending
  std::vector<double> values;    ///< [layers, Q, T]; each row sums to 1 and is 0 after its query
  /// Of a flow: A'_0 .. A'_l up to the last of `layers`, [blocks, T, T], the capacities of its
  /// network. Of a rollout: empty.
  std::vector<double> capacities = {};

  /// One row, [T]. `layer` and `query` are indices into `layers` and `queries`.
  std::span<const double> row(size_t layer, size_t query) const;
};

/// Attention rollout: R_0 = A'_0, R_l = A'_l R_{l-1}. Computed in double precision from one forward
/// pass; L T^3 / 6 multiplications. Holds L T^2 doubles; the maps of single heads are held a few
/// rows at a time. Throws Error (user) as attention() does.
AttentionRelevance attention_rollout(const Model& model, std::span<const int32_t> ids,
                                     const AttentionRolloutOptions& options = {});

struct AttentionFlowOptions {
  /// Blocks whose output the flow is measured from; negative counts from the last; empty: all.
  Indices<int> layers = {-1};
  /// Query positions in the last layer; negative counts from the end; empty: all.
  Indices<int64_t> queries = {};
  Hooks edits = {};  ///< edits applied during the run; captures are ignored
  /// Maximum work, in edges of all flow networks (see attention_flow_work). A CPU core processes a
  /// few million edges per second.
  double max_work = 2e8;
  /// Optional progress callback (counts flows); null disables reporting.
  Progress* progress = nullptr;
};

/// Attention flow: the network has a node for each position of the stream before the first block
/// and after each block, and an edge from position i after block l to position j before it with
/// capacity A'_l[i, j]. A value is the maximum flow from (layer, query) to an input token. Each row
/// is then divided by its sum.
///
/// One query costs T flows, all queries T^2 / 2. A flow's network contains only the positions
/// between its two ends, since no path leaves them. Capacities are rounded to multiples of 2^-52;
/// the flow in these integers is exact (push-relabel, Boost.Graph). Throws Error (user) as
/// attention() does, and for work above max_work, with the estimate and what to narrow.
AttentionRelevance attention_flow(const Model& model, std::span<const int32_t> ids,
                                  const AttentionFlowOptions& options = {});

/// Number of edges of all networks solved for these queries at the output of block `layer`: the sum
/// over queries q and inputs j of (layer + 1) n (n + 1) / 2 with n = q - j + 1. For all queries
/// this is about (layer + 1) T^4 / 24.
double attention_flow_work(int layer, std::span<const int64_t> queries);

/// Statistics of each head on given texts: means over all queries of all texts. The first query of
/// each text is excluded, because it sees one key only.
struct HeadStatistics {
  std::vector<int> layers, heads;  ///< ascending
  int64_t queries = 0;             ///< number of queries averaged over
  // [layers, heads] each; see cell().
  std::vector<double> entropy;         ///< entropy of the query's distribution over keys, in nats
  std::vector<double> distance;        ///< sum over keys j of A[i, j] (i - j), in tokens
  std::vector<double> current_token;   ///< A[i, i]
  std::vector<double> previous_token;  ///< A[i, i - 1]
  std::vector<double> first_token;     ///< A[i, 0]: the attention sink

  size_t cell(size_t layer, size_t head) const { return layer * heads.size() + head; }
};

struct HeadStatisticsOptions {
  Indices<int> layers = {}, heads = {};  ///< negative counts from the last; empty: all
  Hooks edits = {};                      ///< edits applied during the run; captures are ignored
  /// Optional progress callback (counts tokens); null disables reporting.
  Progress* progress = nullptr;
};

/// Holds the maps of a few queries at a time. Throws Error (user) as attention() does, for an empty
/// list of texts, and for texts of one token only.
HeadStatistics head_statistics(const Model& model, const Batch& texts,
                               const HeadStatisticsOptions& options = {});

struct RepetitionOptions {
  Indices<int> layers = {}, heads = {};  ///< negative counts from the last; empty: all
  int sequences = 8;                     ///< number of random sequences to average over
  int64_t length = 0;  ///< n, number of repeated tokens; 0: 50, or fewer if the context is shorter
  /// Token id placed before every sequence; negative: none. nullopt: the tokenizer's end-of-text
  /// token, if it has one.
  std::optional<int32_t> bos = {};
  uint64_t seed = 0;
  Hooks edits = {};  ///< edits applied during the run; captures are ignored
  /// Optional progress callback (counts sequences); null disables reporting.
  Progress* progress = nullptr;
};

/// Scores of each head on n distinct random tokens that are repeated once: BOS s_1 .. s_n s_1 ..
/// s_n. Means over the queries of the second half (the stripes of TransformerLens's head scores).
struct RepetitionScores {
  std::vector<int> layers, heads;  ///< ascending
  int sequences = 0;
  int64_t length = 0;          ///< n
  std::optional<int32_t> bos;  ///< the id that was used
  // [layers, heads] each; see cell().
  /// Attention to the same token's first occurrence, n positions back.
  std::vector<double> duplicate_token;
  /// Attention to the token after that, n - 1 positions back (Olsson 2022).
  std::vector<double> induction;

  size_t cell(size_t layer, size_t head) const { return layer * heads.size() + head; }
};

/// Throws Error (user) as attention() does, for fewer than one sequence, and for a length that
/// exceeds the context or the vocabulary.
RepetitionScores repetition_scores(const Model& model, const RepetitionOptions& options = {});

}  // namespace vitrine
