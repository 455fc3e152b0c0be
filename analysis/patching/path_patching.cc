// SPDX-License-Identifier: MIT
#include "vitrine/analysis/path_patching.h"

#include <algorithm>
#include <set>

#include "analysis/common/options.h"
#include "analysis/patching/metric.h"
#include "analysis/patching/over_pairs.h"
#include "analysis/patching/sweep.h"

namespace vitrine {
using namespace internal;
namespace {

using Kind = PathNode::Kind;

bool can_send(Kind kind) {
  return kind == Kind::kEmbedding || kind == Kind::kHead || kind == Kind::kMlp;
}
bool can_receive(Kind kind) { return kind != Kind::kEmbedding && kind != Kind::kHead; }
bool has_layer(Kind kind) { return kind != Kind::kEmbedding && kind != Kind::kFinalResidual; }
bool has_head(Kind kind) { return has_layer(kind) && kind != Kind::kMlp; }

int resolve_one(int index, int size, std::string_view what, const PathNode& node) {
  const int i = index < 0 ? index + size : index;
  if (i < 0 || i >= size)
    user_error("{} {} of '{}' is out of range: expected 0..{}", what, index, node.name(), size - 1);
  return i;
}

PathNode resolve(PathNode node, const Config& config) {
  const PathNode asked = node;
  node.layer = has_layer(node.kind) ? resolve_one(node.layer, config.layers, "layer", asked) : 0;
  node.head = has_head(node.kind) ? resolve_one(node.head, config.heads, "head", asked) : 0;
  return node;
}

std::vector<PathNode> all_senders(const Config& config) {
  std::vector<PathNode> senders = {{.kind = Kind::kEmbedding}};
  for (int layer = 0; layer < config.layers; ++layer) {
    for (int head = 0; head < config.heads; ++head) senders.push_back({Kind::kHead, layer, head});
    senders.push_back({Kind::kMlp, layer, 0});
  }
  return senders;
}

std::vector<PathNode> resolve_all(const std::vector<PathNode>& nodes, const Config& config,
                                  bool senders) {
  std::vector<PathNode> resolved;
  for (const PathNode& node : nodes) {
    if (senders && !can_send(node.kind))
      user_error("'{}' cannot be a sender: expected embed, head L.H or mlp L", node.name());
    if (!senders && !can_receive(node.kind))
      user_error("'{}' cannot be a receiver: expected q L.H, k L.H, v L.H, mlp L or final",
                 node.name());
    resolved.push_back(resolve(node, config));
  }
  return resolved;
}

/// Embeddings send the stream that they begin: position embeddings are those of both prompts.
Place sender_place(const PathNode& node, std::vector<int64_t> positions) {
  if (node.kind == Kind::kEmbedding) return {Site::kResidPre, 0, std::move(positions)};
  if (node.kind == Kind::kMlp) return {Site::kMlpOut, node.layer, std::move(positions)};
  return {Site::kZ, node.layer, std::move(positions), {node.head}};
}

Place receiver_place(const PathNode& node, std::vector<int64_t> positions) {
  if (node.kind == Kind::kMlp) return {Site::kMlpPre, node.layer, std::move(positions)};
  const Site site = node.kind == Kind::kQuery ? Site::kQ
                    : node.kind == Kind::kKey ? Site::kK
                                              : Site::kV;
  return {site, node.layer, std::move(positions), {node.head}};
}

/// The two passes of each sender.
class PathRuns {
 public:
  PathRuns(BaseRun& base, const Run& other, std::vector<PathNode> receivers,
           std::vector<int64_t> sender_positions, const std::vector<int64_t>& receiver_positions,
           bool through_mlps)
      : base_(base),
        sender_values_(std::make_shared<RunValues>(BothCaptures(base.model(), other))),
        sender_positions_(std::move(sender_positions)),
        through_mlps_(through_mlps) {
    for (const PathNode& node : receivers) {
      if (node.kind == Kind::kFinalResidual)
        to_final_ = true;
      else
        receivers_.push_back(receiver_place(node, receiver_positions));
    }
  }

  /// The metric for each of some senders.
  std::vector<double> run(std::span<const PathNode> senders) {
    std::vector<Intervention> sending;
    for (const PathNode& sender : senders)
      sending.push_back(base_.intervene({sender_place(sender, sender_positions_)}, sender_values_));
    std::vector<Intervention> receiving(senders.size());
    base_.run(sending,
              {.hooks = [this](Hooks& hooks, int layer) { hold_from(hooks, layer); },
               .see = [&](size_t cell, const BothCaptures& captures,
                          int sequence) { receiving[cell] = receive(captures, sequence); }});
    return base_.run(receiving);
  }

 private:
  int last_layer() const { return base_.model().config().layers - 1; }

  /// Holds a site at the base run's values.
  void hold(Hooks& hooks, Site site, int layer) const {
    hooks.edit(site, replace_from(base_.captures().in_place), {.layers = {layer}});
  }

  void hold_from(Hooks& hooks, int first) const {
    for (int layer = first; layer <= last_layer(); ++layer) {
      hold(hooks, Site::kZ, layer);
      if (!through_mlps_) hold(hooks, Site::kMlpOut, layer);
    }
    std::set<std::pair<Site, int>> sites;
    for (const Place& place : receivers_) {
      if (place.layer >= first) sites.insert({place.site, place.layer});
    }
    for (const auto& [site, layer] : sites) hooks.capture(site, {.layers = {layer}});
    if (to_final_) {
      hooks.capture(Site::kResidPost,
                    {.layers = {last_layer()}, .positions = {base_.tokens() - 1}});
    }
  }

  /// The second pass, from what the first one has shown.
  Intervention receive(const BothCaptures& captures, int sequence) const {
    const auto seen = std::make_shared<RunValues>(captures, sequence);
    Intervention result = base_.intervene(receivers_, seen);
    const int64_t end = base_.tokens() - 1;
    if (!to_final_) return result;
    // Added to what the other receivers make of the stream, which they may change, too.
    const auto own = base_.captures().on_host->row(Site::kResidPost, last_layer(), 0, end),
               found = seen->row(Site::kResidPost, last_layer(), 0, end);
    std::vector<float> difference(own->size());
    for (size_t i = 0; i < difference.size(); ++i) difference[i] = (*found)[i] - (*own)[i];
    result.changes.push_back({Site::kResidPost,
                              add(Tensor::from(difference)),
                              {.layers = {last_layer()}, .positions = {end}}});
    result.layer = std::min(result.layer, last_layer());
    result.position = std::min(result.position, end);
    return result;
  }

  BaseRun& base_;
  PatchValues sender_values_;
  std::vector<int64_t> sender_positions_;
  bool through_mlps_;
  std::vector<Place> receivers_;
  bool to_final_ = false;
};

}  // namespace

PathPatching path_patch(const Model& model, std::span<const int32_t> clean,
                        std::span<const int32_t> corrupt, const PathOptions& options) {
  const Config& config = model.config();
  check_metric(options.metric, config);
  const PromptPair prompts =
      prompt_pair(clean, corrupt, options.position, options.direction, false);
  const auto tokens = static_cast<int64_t>(prompts.base.size());
  PathPatching result;
  result.senders =
      resolve_all(options.senders.empty() ? all_senders(config) : options.senders, config, true);
  std::vector<PathNode> receivers = resolve_all(options.receivers, config, false);
  if (receivers.empty())
    user_error("missing receiver of the paths: expected at least one, such as final");
  const auto positions = [&](const Indices<int64_t>& asked, std::string_view what) {
    return resolve_indices<int64_t>(asked, 0, tokens, what,
                                    "positions up to where the metric is read");
  };
  BaseRun base(
      model, prompts.base,
      {Site::kQ, Site::kK, Site::kV, Site::kZ, Site::kMlpPre, Site::kMlpOut, Site::kResidPost},
      options.metric, options.batch_tokens, options.edits);
  const Run other = model.forward(prompts.other,
                                  options.edits.only_edits()
                                      .capture(Site::kResidPre, {.layers = {0}})
                                      .capture(Site::kZ)
                                      .capture(Site::kMlpOut),
                                  kInPlace);
  const MetricScale scale =
      metric_scale(base.value(),
                   finite_metric(options.metric, model.to_host(other.logits()).f32(), model,
                                 prompts.other, options.edits),
                   options.direction, options.metric);
  PathRuns runs(base, other, std::move(receivers),
                positions(options.sender_positions, "sender position"),
                positions(options.receiver_positions, "receiver position"), options.through_mlps);

  CellProgress progress{options.progress, result.senders.size(), "Path patching"};
  for (size_t begin = 0; begin < result.senders.size();) {
    size_t end = begin + 1;  // the senders of one layer: their passes start at one block
    while (end < result.senders.size() && result.senders[end].layer == result.senders[begin].layer)
      ++end;
    const std::vector<double> found =
        runs.run(std::span(result.senders).subspan(begin, end - begin));
    result.values.insert(result.values.end(), found.begin(), found.end());
    progress.add(end - begin);
    begin = end;
  }
  result.clean = scale.clean;
  result.corrupt = scale.corrupt;
  result.effects = scale.rescaled(result.values);
  result.work = base.work();
  add_whole_run(result.work, prompts.other.size(), config);
  return result;
}

OverPairs<PathPatching> path_patch_pairs(const Model& model, std::span<const PatchPair> pairs,
                                         const PathOptions& options) {
  const auto check = [&](size_t i) {
    prompt_pair(pairs[i].clean, pairs[i].corrupt, options.position, options.direction, false);
  };
  return over_pairs(model, pairs, options, check,
                    [&](const PatchPair& pair, const PathOptions& own) {
                      return path_patch(model, pair.clean, pair.corrupt, own);
                    });
}

}  // namespace vitrine
