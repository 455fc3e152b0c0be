// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/dtype.h"
#include "vitrine/indices.h"
#include "vitrine/sites.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// Selects the part of a site that a capture or an edit applies to. Without indices all is
/// selected. (The initialisers let `{.heads = {3}}` compile without warnings.)
struct Where {
  /// Block indices; negative counts from the last.
  Indices<int> layers = {};
  /// Token positions in the sequence, from 0. Negative counts from the end of the sequence in the
  /// current pass: in a generation, {-1} is the newest token of every step.
  Indices<int64_t> positions = {};
  /// Attention heads, for sites that have heads.
  Indices<int> heads = {};
  /// Indices along the site's last axis: MLP neurons, directions of the residual stream, vocabulary
  /// ids. Invalid for maps.
  Indices<int64_t> neurons = {};
  /// Indices of sequences in the batch.
  Indices<int> sequences = {};
  /// Tokens of a generation: those of the prompt, or those that the model generates. Of edits given
  /// to generate() as Hooks, in place of positions; invalid elsewhere.
  enum class Tokens : uint8_t { kAll, kPrompt, kGenerated };
  Tokens tokens = Tokens::kAll;
};

/// Argument of a callback edit: the selected part of one site for one sequence, as writable
/// float32.
struct EditView {
  std::string_view name;  ///< "blocks.3.attn.hook_z"
  Site site;
  int layer;                           ///< 0 for sites without a layer
  int sequence;                        ///< index in the batch
  std::span<const int64_t> positions;  ///< positions of the rows
  /// [rows, width], row-major; for a map [heads x rows, keys], masked keys included
  std::span<float> values;
  int64_t width;  ///< number of elements per row
};

/// Activations of an earlier run, by site and position; the source of replace_from().
class ActivationSource {
 public:
  virtual ~ActivationSource() = default;
  /// Float32 row of a site at a position of a sequence, restricted to the captured heads and
  /// neurons; nullopt if it was not captured. Throws Error (user) for device memory.
  virtual std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                                int64_t position) const = 0;
  /// Number of heads whose rows of an attention map row() joins; nullopt: unknown.
  virtual std::optional<int64_t> map_heads(Site /*site*/, int /*layer*/) const {
    return std::nullopt;
  }
  /// The same row where it lies, valid as long as the source, in host memory or on device();
  /// nullopt if it was not captured or has no memory of its own. A pass on that device uses it
  /// without a copy to the host.
  virtual std::optional<TensorView> row_view(Site /*site*/, int /*layer*/, int /*sequence*/,
                                             int64_t /*position*/) const {
    return std::nullopt;
  }
  /// Row of one head of an attention map where it lies, [keys]; `head` counts the captured heads.
  /// Otherwise as row_view(), which has no row of a map.
  virtual std::optional<TensorView> map_row_view(Site /*site*/, int /*layer*/, int /*sequence*/,
                                                 int64_t /*position*/, int64_t /*head*/) const {
    return std::nullopt;
  }
  /// Identifies the device whose memory these views may be of; null for host memory only.
  virtual const void* device() const { return nullptr; }
};

/// One change of activations, created by the functions below.
class Edit {
 public:
  enum class Kind : uint8_t { kAdd, kScale, kReplace, kProject, kSource, kCallback };

  Kind kind() const { return kind_; }
  float factor() const { return factor_; }
  const Tensor& operand() const { return operand_; }
  const std::shared_ptr<const ActivationSource>& source() const { return source_; }
  const std::function<void(EditView&)>& function() const { return function_; }
  /// Gradient function of a callback; null: unknown.
  const std::function<void(EditView&)>& adjoint() const { return adjoint_; }
  /// Whether the backward pass treats the edit as the identity.
  bool straight_through() const { return straight_through_; }

 private:
  friend Edit add(Tensor);
  friend Edit scale(float);
  friend Edit replace(Tensor);
  friend Edit project_out(const Tensor&);
  friend Edit replace_from(std::shared_ptr<const ActivationSource>);
  friend Edit callback(std::function<void(EditView&)>, std::function<void(EditView&)>);
  friend Edit straight_through(Edit);

  Kind kind_ = Kind::kScale;
  float factor_ = 1.0f;
  Tensor operand_;
  std::shared_ptr<const ActivationSource> source_;
  std::function<void(EditView&)> function_, adjoint_;
  bool straight_through_ = false;
};

// An operand is a float32 tensor of one of these sizes, where W is the number of selected elements
// per row:
//   W          the same for every selected row;
//   P x W      one row for each of the P positions that `Where` names, the same for every sequence;
//   one head   for a site with heads, the width of one head: the same for every selected head;
//   1          the same number everywhere.
// A NaN is rejected (Error, user). For a map (scores, pattern) the operand is a single number or
// the map of another run; masked keys stay masked.

/// x + operand
Edit add(Tensor operand);
/// x * factor. Throws Error (user) for a factor that is not finite.
Edit scale(float factor);
/// 0: zero ablation
Edit zero();
/// operand
Edit replace(Tensor operand);
/// Mean ablation: x becomes `mean`, an average over reference texts that the caller provides (see
/// Captures::mean). The mean over the pass itself is not supported, because it would depend on the
/// other sequences in the batch.
inline Edit mean_ablate(Tensor mean) { return replace(std::move(mean)); }
/// x - (x . u) u, u = direction / |direction|: removes the component along the direction. Throws
/// Error (user) for a zero direction.
Edit project_out(const Tensor& direction);
/// Value of another run at the same site, position and sequence (sequence 0 if that run had only
/// one). The run must have captured the site with the same heads and neurons.
Edit replace_from(std::shared_ptr<const ActivationSource> run);
/// Result of `function`, which changes the values in place on the host, between two kernels. For a
/// backward pass, `adjoint` maps the gradient with respect to the values after `function` to the
/// gradient with respect to the values before it. A backward pass may call `function` a second time
/// on the same values; it must be deterministic.
Edit callback(std::function<void(EditView&)> function, std::function<void(EditView&)> adjoint = {});
/// The same edit, treated as the identity by the backward pass: the straight-through estimator
/// (Bengio 2013).
Edit straight_through(Edit edit);

/// Names sites of a model: one Site in all layers, or a glob over site names.
///
/// In a glob, `*` is any characters, `?` one character, `{a,b}` alternatives, `{3..5}` a range of
/// numbers, `{3..}` one to the last layer. Examples: "blocks.*.hook_resid_post",
/// "blocks.{0..3}.attn.hook_{q,k}".
class SiteSelector {
 public:
  // NOLINTBEGIN(google-explicit-constructor): a name and a Site are what callers have
  SiteSelector(std::string pattern) : pattern_(std::move(pattern)) {}
  SiteSelector(const char* pattern) : pattern_(pattern) {}
  SiteSelector(Site site);
  // NOLINTEND(google-explicit-constructor)

  /// The glob; for a Site its name with `*` for the layer.
  const std::string& pattern() const { return pattern_; }
  /// nullopt for a glob.
  std::optional<Site> site() const { return site_; }

 private:
  std::string pattern_;
  std::optional<Site> site_;
};

/// Selected sites of a model in the layers of `where`, in the order of sites.h and by layer within
/// each site. Throws Error (user) that lists similar names if there are none, and for a layer out
/// of range.
std::vector<SiteRef> find_sites(const SiteSelector& sites, const Config& config,
                                const Where& where = {});

/// Captures and edits of a pass.
///
/// Edits at one site apply in the order in which they were added; a capture reads the site after
/// all of them. Sites and selections are checked against a model when the hooks are compiled for it
/// (see HookPlan): a pattern that matches no site, and a layer, head or neuron out of range, throw
/// Error (user). Positions and sequences are checked against the batch of each pass.
class Hooks {
 public:
  struct Capture {
    SiteSelector sites;
    Where where;
    DType store;
    std::optional<TensorMemory> into = std::nullopt;
  };
  struct Change {
    SiteSelector sites;
    Edit edit;
    Where where;
  };

  /// Captures the selected sites, stored as f32, f16 or bf16.
  Hooks& capture(SiteSelector sites, Where where = {}, DType store = DType::kF32);
  /// Captures into memory of the caller, stored as its dtype. Its shape is that of
  /// Captures::Entry::rows(): [N, D], [N, H, K], ..., N rows of all sequences; [H, P, N] for a map,
  /// of one sequence; in front of it the number of matched sites if there are several. Captures
  /// then has views of that memory. Without a copy if the memory is where the model runs and each
  /// site begins at a multiple of 64 bytes.
  ///
  /// Such hooks serve single passes: a generation and backward() throw Error (user), as does a pass
  /// with other shapes. Passes of several threads must not share the memory.
  Hooks& capture_into(SiteSelector sites, TensorMemory into, Where where = {});
  Hooks& edit(SiteSelector sites, Edit edit, Where where = {});
  /// Captures the gradient of the target at the selected sites, narrowed and stored like a capture.
  /// Used by backward() only.
  Hooks& gradient(SiteSelector sites, Where where = {}, DType store = DType::kF32);

  /// Of these, the edits alone.
  Hooks only_edits() const;
  /// Of these, the captures and edits.
  Hooks without_gradients() const;
  /// Of these, the captures and gradients.
  Hooks without_edits() const;

  bool empty() const { return captures_.empty() && edits_.empty(); }
  const std::vector<Capture>& captures() const { return captures_; }
  const std::vector<Capture>& gradients() const { return gradients_; }
  const std::vector<Change>& edits() const { return edits_; }

 private:
  std::vector<Capture> captures_, gradients_;
  std::vector<Change> edits_;
};

}  // namespace vitrine
