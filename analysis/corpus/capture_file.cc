// SPDX-License-Identifier: MIT
#include "vitrine/corpus/capture_file.h"

#include <iterator>
#include <memory>
#include <utility>

#include "analysis/common/model_output.h"
#include "analysis/common/text_runs.h"
#include "analysis/corpus/capture_sink.h"
#include "analysis/corpus/non_finite_tally.h"
#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

/// Positions of each prompt's rows; null where every token has one. Shared by the sites of one
/// request.
using Positions = std::shared_ptr<const std::vector<std::vector<int64_t>>>;

struct SiteLayout {
  std::string name;
  DType captured = DType::kF32, stored = DType::kF32;
  bool is_map = false;
  std::vector<int64_t> row;  ///< sizes of the axes after the rows; heads for a map
  Positions positions;
  size_t tensor = 0;  ///< index of its tensor; of a map's first
  int64_t rows_written = 0;
};

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

/// Lays the tensors out, and puts each batch of prompts where it belongs.
class CaptureWriter {
 public:
  CaptureWriter(const Batch& prompts, std::vector<SiteLayout> sites,
                const std::filesystem::path& path, CaptureFormat format,
                const std::map<std::string, std::string>& metadata)
      : prompts_(prompts), sites_(std::move(sites)) {
    offsets_.push_back(0);
    for (const auto& prompt : prompts)
      offsets_.push_back(offsets_.back() + static_cast<int64_t>(prompt.size()));
    tensors_.push_back({"ids", DType::kI32, Shape{offsets_.back()}, false});
    tensors_.push_back(
        {"offsets", DType::kI64, Shape{static_cast<int64_t>(offsets_.size())}, false});
    for (SiteLayout& site : sites_) site.is_map ? declare_map(site) : declare_rows(site);
    sink_ = make_capture_sink(format, path, tensors_, metadata);
    std::vector<int32_t> ids;
    for (const auto& prompt : prompts) ids.insert(ids.end(), prompt.begin(), prompt.end());
    sink_->put(0, 0, bytes_of(ids));
    sink_->put(1, 0, bytes_of(offsets_));
    for (const auto& [tensor, values] : index_tensors_) sink_->put(tensor, 0, bytes_of(values));
  }

  /// `captures` are of the prompts [first, first + its sequences), and come in order.
  void put(const Captures& captures, size_t first) {
    for (SiteLayout& site : sites_) {
      const Captures::Entry& entry = captures.entry(site.name);
      for (size_t s = 0; s < entry.sequences.size(); ++s) {
        tally_.add(entry, entry.sequences[s], static_cast<int64_t>(first + s));
        put_sequence(site, entry.sequences[s], first + s);
      }
    }
  }

  CaptureFileSummary finish() {
    sink_->finish();
    CaptureFileSummary summary;
    summary.complete = true;
    summary.prompts = static_cast<int64_t>(prompts_.size());
    summary.tokens = offsets_.back();
    summary.non_finite = tally_.sites();
    for (const SinkTensor& tensor : tensors_) {
      summary.bytes += static_cast<uint64_t>(tensor.shape.elements()) * dtype_size(tensor.dtype);
      if (tensor.is_site) summary.sites.push_back({tensor.name, tensor.dtype, tensor.shape});
    }
    return summary;
  }

 private:
  void declare_index(const std::string& name, std::vector<int64_t> values) {
    tensors_.push_back({name, DType::kI64, Shape{static_cast<int64_t>(values.size())}, false});
    index_tensors_.emplace_back(tensors_.size() - 1, std::move(values));
  }

  void declare_rows(SiteLayout& site) {
    std::vector<int64_t> all, starts = {0};
    if (site.positions) {
      for (const auto& of_prompt : *site.positions) {
        all.insert(all.end(), of_prompt.begin(), of_prompt.end());
        starts.push_back(static_cast<int64_t>(all.size()));
      }
    }
    std::vector<int64_t> sizes = {site.positions ? static_cast<int64_t>(all.size())
                                                 : offsets_.back()};
    sizes.insert(sizes.end(), site.row.begin(), site.row.end());
    site.tensor = tensors_.size();
    tensors_.push_back({site.name, site.stored, Shape(sizes), true});
    if (!site.positions) return;
    declare_index(site.name + ".positions", std::move(all));
    declare_index(site.name + ".offsets", std::move(starts));
  }

  void declare_map(SiteLayout& site) {
    site.tensor = tensors_.size();
    for (size_t i = 0; i < prompts_.size(); ++i) {
      const auto tokens = static_cast<int64_t>(prompts_[i].size());
      const int64_t rows =
          site.positions ? static_cast<int64_t>((*site.positions)[i].size()) : tokens;
      tensors_.push_back({fmt::format("{}.{}", site.name, i), site.stored,
                          Shape{site.row[0], rows, tokens}, true});
    }
    if (!site.positions) return;
    for (size_t i = 0; i < prompts_.size(); ++i)
      declare_index(fmt::format("{}.{}.positions", site.name, i), (*site.positions)[i]);
  }

  void put_sequence(SiteLayout& site, const Captures::Entry::Sequence& sequence, size_t prompt) {
    const size_t expected =
        site.positions ? (*site.positions)[prompt].size() : prompts_[prompt].size();
    if (sequence.positions.size() != expected) {
      internal_error("'{}' of prompt {} has {} rows where {} were expected", site.name, prompt,
                     sequence.positions.size(), expected);
    }
    uint64_t offset = 0;
    if (!site.is_map) {
      uint64_t row_bytes = dtype_size(site.stored);
      for (const int64_t size : site.row) row_bytes *= static_cast<uint64_t>(size);
      offset = static_cast<uint64_t>(site.rows_written) * row_bytes;
      site.rows_written += static_cast<int64_t>(expected);
    }
    const size_t tensor = site.tensor + (site.is_map ? prompt : 0);
    if (site.stored != site.captured)
      return sink_->put(tensor, offset, bytes_of(sequence.values.to_f32()));
    sink_->put(tensor, offset, sequence.values.host_bytes());
  }

  const Batch& prompts_;
  std::vector<SiteLayout> sites_;
  std::vector<int64_t> offsets_;
  std::vector<SinkTensor> tensors_;
  std::vector<std::pair<size_t, std::vector<int64_t>>> index_tensors_;
  std::unique_ptr<CaptureSink> sink_;
  NonFiniteTally tally_;
};

/// `capture`: a Captures::Entry or a CaptureSpec; `shape`: of one sequence.
template <typename Capture>
SiteLayout layout_of(const Capture& capture, const Shape& shape, CaptureFormat format,
                     Positions positions) {
  SiteLayout layout;
  layout.name = capture.name;
  layout.captured = capture.dtype;
  layout.stored = stored_dtype(format, capture.dtype);
  layout.is_map = site_info(capture.site).shape == SiteShape::kMap;
  layout.positions = std::move(positions);
  const auto sizes = shape.sizes();
  if (layout.is_map)
    layout.row = {sizes[0]};
  else
    layout.row.assign(sizes.begin() + 1, sizes.end());
  return layout;
}

/// The positions that a request takes of each prompt.
Positions resolve_positions(const Hooks::Capture& request, const Batch& prompts) {
  if (request.where.positions.empty()) return nullptr;
  std::vector<std::vector<int64_t>> all;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto tokens = static_cast<int64_t>(prompts[i].size());
    all.push_back(request.where.positions.resolve(0, tokens, [&](int64_t position) {
      user_error("position {} requested of '{}' is out of range of prompt {}, which has {} tokens",
                 position, request.sites.pattern(), i, tokens);
    }));
  }
  return std::make_shared<const std::vector<std::vector<int64_t>>>(std::move(all));
}

/// The requested gradients as captures, whose shapes they have.
Hooks gradients_of(const Hooks& hooks) {
  Hooks captures;
  for (const Hooks::Capture& request : hooks.gradients())
    captures.capture(request.sites, request.where, request.store);
  return captures;
}

/// `prefix`: of the names.
std::vector<SiteLayout> lay_out(const Model& model, const HookPlan& plan, const Batch& prompts,
                                CaptureFormat format, const std::string& prefix = "") {
  std::map<std::string, Positions> positions;
  for (const Hooks::Capture& request : plan.hooks().captures()) {
    const Positions resolved = resolve_positions(request, prompts);
    for (const SiteRef& site : find_sites(request.sites, model.config(), request.where))
      positions[site.name] = resolved;
  }
  std::vector<SiteLayout> sites;
  const std::vector<int64_t> first = {std::ssize(prompts.front())};
  for (const CaptureSpec& spec : plan.describe(first))
    sites.push_back(layout_of(spec, spec.shapes.front(), format, positions[spec.name]));
  for (SiteLayout& site : sites) site.name.insert(0, prefix);
  return sites;
}

/// Throws Error (user) for gradients without a target, a target without gradients, and a position
/// that a prompt does not have.
void check_target(const std::optional<Target>& target, const Hooks& gradients,
                  const Batch& prompts) {
  if (!target && !gradients.captures().empty())
    user_error("missing target of the gradient at '{}'",
               gradients.captures().front().sites.pattern());
  if (!target) return;
  if (gradients.captures().empty())
    user_error("missing gradient of the target: expected a site such as hook_embed");
  for (const Target::Term& term : target->terms()) {
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto tokens = std::ssize(prompts[i]);
      if (term.position < -tokens || term.position >= tokens)
        user_error(
            "the target's position {} is out of range of prompt {}, which has {} tokens: "
            "expected a position that every prompt has",
            term.position, i, tokens);
    }
  }
}

}  // namespace

CaptureFileSummary capture_to_file(const Model& model, const Batch& prompts, const Hooks& hooks,
                                   const std::filesystem::path& path,
                                   const CaptureFileOptions& options) {
  const CaptureFormat format = capture_format(path);
  const Hooks gradients = gradients_of(hooks);
  Hooks all = hooks;
  for (const Hooks::Capture& request : gradients.captures()) all.capture(request.sites);
  check_captures(all, "a file of prompts");
  if (prompts.empty()) user_error("missing prompts to capture: expected at least one");
  check_texts(model.config(), prompts);
  check_target(options.target, gradients, prompts);
  std::vector<SiteRef> read = captured_sites(hooks, model.config());
  if (options.target) read.push_back({Site::kLogits, 0, "logits"});
  check_edits_reach(hooks, model.config(), read, "the capture");
  check_capture_path(format, path);
  const HookPlan plan = model.compile(hooks);
  std::vector<SiteLayout> sites = lay_out(model, plan, prompts, format);
  const std::vector<SiteLayout> more =
      lay_out(model, model.compile(gradients), prompts, format, kGradientPrefix);
  sites.insert(sites.end(), more.begin(), more.end());
  CaptureWriter writer(prompts, std::move(sites), path, format, options.metadata);
  const auto put = [&](const TextBatch& batch) {
    writer.put(batch.captures, batch.first);
    if (options.progress) options.progress->update(batch.done, batch.total, "Capturing");
  };
  if (!run_texts(model, prompts, plan, options.batch_tokens, "the capture", false, put,
                 options.keep_going, options.target ? &*options.target : nullptr))
    return {};
  return writer.finish();
}

CaptureFileSummary save_captures(const Captures& captures, const Batch& ids,
                                 const std::filesystem::path& path,
                                 const std::map<std::string, std::string>& metadata) {
  const CaptureFormat format = capture_format(path);
  if (captures.empty()) user_error("{}: no captures to write", path.string());
  std::vector<SiteLayout> sites;
  for (const Captures::Entry& entry : captures.entries()) {
    if (entry.sequences.size() != ids.size())
      user_error("{} lists of ids for captures of {} sequences: expected one list per sequence",
                 ids.size(), entry.sequences.size());
    bool everywhere = true;
    std::vector<std::vector<int64_t>> positions;
    for (size_t s = 0; s < ids.size(); ++s) {
      positions.push_back(entry.sequences[s].positions);
      everywhere = everywhere && positions.back().size() == ids[s].size();
    }
    sites.push_back(layout_of(
        entry, entry.sequences.front().values.shape(), format,
        everywhere ? nullptr
                   : std::make_shared<const std::vector<std::vector<int64_t>>>(positions)));
  }
  CaptureWriter writer(ids, std::move(sites), path, format, metadata);
  writer.put(captures, 0);
  return writer.finish();
}

}  // namespace vitrine
