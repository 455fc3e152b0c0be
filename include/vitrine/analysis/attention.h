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

// Where the model looks: the attention maps themselves, what they become through the layers
// (rollout and flow), and what each head does by habit.
//
// L blocks, H heads, T tokens of the text, Q queries that were asked for. A_l is the mean of block
// l's maps over its heads, [T, T], rows being queries. Maps are causal: a query i sees keys j <= i,
// and everything behind is 0.

struct AttentionOptions {
  std::vector<int> layers = {};  ///< blocks; negative from the last; empty: all
  std::vector<int> heads = {};   ///< negative from the last; empty: all
  std::vector<int64_t> queries =
      {};            ///< positions that look; negative from the end of the text; empty: all
  Hooks edits = {};  ///< changes to the model while it is looked at; only the edits are used
};

/// Attention maps, attn.hook_pattern as the model computed it: float32, rows that sum to 1.
struct AttentionMaps {
  std::vector<int32_t> ids;                  ///< [T] the text
  std::vector<int> layers;                   ///< ascending
  std::vector<int> heads;                    ///< ascending
  std::vector<int64_t> queries;              ///< [Q] ascending
  std::shared_ptr<const Captures> captures;  ///< owns the maps

  /// One head of one layer, by their places in `layers` and `heads`: [Q, T], row-major. Lives as
  /// long as `captures`.
  std::span<const float> map(size_t layer, size_t head) const;
  /// What one query looks at: [T].
  std::span<const float> row(size_t layer, size_t head, size_t query) const;
};

/// Runs the text once. Holds layers x heads x Q x T numbers and no more.
/// Throws Error (user) as Model::forward does, and for an empty text or a layer, head or position
/// that is not there.
AttentionMaps attention(const Model& model, std::span<const int32_t> ids,
                        const AttentionOptions& options = {});

// Rollout and flow (Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers") take the
// residual connection to be as strong as attention: A'_l = (A_l + I) / 2, which is A_l + I with
// rows that sum to 1. They were made for encoders. Here every map is causal, so that the first
// tokens collect what later ones cannot: to use them on GPT-2 is our extension.

struct AttentionRolloutOptions {
  std::vector<int> layers =
      {};  ///< blocks whose result is kept; negative from the last; empty: all
  std::vector<int64_t> queries = {};  ///< positions at the top; negative from the end; empty: all
  Hooks edits = {};                   ///< only the edits are used
  Progress* progress = nullptr;       ///< counts tokens, then blocks; null: nobody wants to know
};

/// How much of each input token is in each position of the stream, layer by layer.
struct AttentionRelevance {
  std::vector<int32_t> ids;      ///< [T] the text
  std::vector<int> layers;       ///< ascending; layer l is the stream after block l
  std::vector<int64_t> queries;  ///< [Q] ascending
  std::vector<double> values;    ///< [layers, Q, T]; rows sum to 1, and are 0 behind their query

  /// [T], by the places in `layers` and `queries`.
  std::span<const double> row(size_t layer, size_t query) const;
};

/// Attention rollout: R_0 = A'_0, R_l = A'_l R_{l-1}. In double precision, from one pass of the
/// text; cost L T^3 / 6. Holds L T^2 doubles; maps of single heads only a few rows at a time.
/// Throws Error (user) as attention() does.
AttentionRelevance attention_rollout(const Model& model, std::span<const int32_t> ids,
                                     const AttentionRolloutOptions& options = {});

struct AttentionFlowOptions {
  std::vector<int> layers = {
      -1};  ///< blocks from whose end flow is measured; negative from the last; empty: all
  std::vector<int64_t> queries = {};  ///< positions at the top; negative from the end; empty: all
  Hooks edits = {};                   ///< only the edits are used
  /// Refuses more work than this, counted as the edges of all the graphs to be solved (see
  /// attention_flow_work). A processor core does some millions a second.
  double max_work = 2e8;
  Progress* progress = nullptr;  ///< counts flows; null: nobody wants to know
};

/// Attention flow: the network has a node for each position of the stream before the first block
/// and after each block, and an edge from position i after block l to position j before it with the
/// capacity A'_l[i, j]. A value is the maximum flow from (layer, query) down to an input token;
/// each row is then divided by its sum.
///
/// One query costs T flows, all of them T^2 / 2; a flow's network holds only the positions between
/// its two ends, since no path leaves them. Capacities are rounded to multiples of 2^-52 and the
/// flow in whole numbers of that is exact (push-relabel, Boost.Graph). Throws Error (user) as
/// attention() does, and for work beyond max_work, with the estimate and what to narrow.
AttentionRelevance attention_flow(const Model& model, std::span<const int32_t> ids,
                                  const AttentionFlowOptions& options = {});

/// Edges of all the networks that the flows from these queries at the end of this block are
/// computed in: sum over queries q and inputs j of (layer + 1) n (n + 1) / 2, n = q - j + 1. About
/// (layer + 1) T^4 / 24 for all queries.
double attention_flow_work(int layer, std::span<const int64_t> queries);

/// What each head does on given texts. Means over all queries of all texts except each text's
/// first, which has nothing to choose.
struct HeadStatistics {
  std::vector<int> layers, heads;  ///< ascending
  int64_t queries = 0;             ///< that the means are over
  // [layers, heads] each; see cell().
  std::vector<double> entropy;         ///< of the query's distribution over keys, in nats
  std::vector<double> distance;        ///< sum over keys j of A[i, j] (i - j), in tokens
  std::vector<double> current_token;   ///< A[i, i]
  std::vector<double> previous_token;  ///< A[i, i - 1]
  std::vector<double> first_token;     ///< A[i, 0]: the attention sink

  size_t cell(size_t layer, size_t head) const { return layer * heads.size() + head; }
};

struct HeadStatisticsOptions {
  std::vector<int> layers = {}, heads = {};  ///< negative from the last; empty: all
  Hooks edits = {};                          ///< only the edits are used
  Progress* progress = nullptr;              ///< counts tokens; null: nobody wants to know
};

/// Holds a few queries' maps at a time. Throws Error (user) as attention() does, for no text, and
/// for texts of one token only.
HeadStatistics head_statistics(const Model& model, const Batch& texts,
                               const HeadStatisticsOptions& options = {});

struct RepetitionOptions {
  std::vector<int> layers = {}, heads = {};  ///< negative from the last; empty: all
  int sequences = 8;                         ///< random sequences to average over
  int64_t length = 0;  ///< n, tokens that are repeated; 0: 50, or what the context holds
  /// Put before every sequence; negative: nothing. Nothing given: the tokenizer's end-of-text
  /// token, if there is one.
  std::optional<int32_t> bos = {};
  uint64_t seed = 0;
  Hooks edits = {};              ///< only the edits are used
  Progress* progress = nullptr;  ///< counts sequences; null: nobody wants to know
};

/// What each head does when n random tokens, all different, come a second time: BOS s_1 .. s_n s_1
/// .. s_n. Means over the queries of the second half, the stripes of TransformerLens's head scores.
struct RepetitionScores {
  std::vector<int> layers, heads;  ///< ascending
  int sequences = 0;
  int64_t length = 0;          ///< n
  std::optional<int32_t> bos;  ///< as used
  // [layers, heads] each; see cell().
  std::vector<double>
      duplicate_token;  ///< attention to the same token's first occurrence, n positions back
  std::vector<double>
      induction;  ///< attention to the token behind it, n - 1 positions back (Olsson 2022)

  size_t cell(size_t layer, size_t head) const { return layer * heads.size() + head; }
};

/// Throws Error (user) as attention() does, for no sequences, and for a length that the context or
/// the vocabulary does not hold.
RepetitionScores repetition_scores(const Model& model, const RepetitionOptions& options = {});

}  // namespace vitrine
