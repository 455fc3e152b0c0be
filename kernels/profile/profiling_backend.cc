// SPDX-License-Identifier: MIT
#include "kernels/profile/profiling_backend.h"

#include <chrono>
#include <mutex>
#include <type_traits>
#include <utility>

#include "kernels/profile/work.h"

namespace vitrine::internal {
namespace {

using profile::Work;
using Clock = std::chrono::steady_clock;

/// A named range of one operation: timed by the host, and shown by the device's profiler.
class Range {
 public:
  Range(Backend& backend, const char* name, const Work& work) : backend_(backend) {
    backend_.begin_range(name, work.bytes, work.flops);
  }
  ~Range() { backend_.end_range(); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

  double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

 private:
  Backend& backend_;
  Clock::time_point begin_ = Clock::now();
};

/// A recording whose runs count with the work of all its operations.
class ProfiledRecording : public Recording {
 public:
  ProfiledRecording(std::unique_ptr<Recording> inner, Backend& backend,
                    std::shared_ptr<Profile> profile, const Work& work)
      : inner_(std::move(inner)), backend_(backend), profile_(std::move(profile)), work_(work) {}

  void replay() override {
    const Range range(backend_, "recorded step", work_);
    inner_->replay();
    profile_->add("recorded step", {1, range.seconds(), work_.bytes, work_.flops});
  }

 private:
  std::unique_ptr<Recording> inner_;
  Backend& backend_;
  std::shared_ptr<Profile> profile_;
  Work work_;
};

class ProfilingBackend : public Backend {
 public:
  ProfilingBackend(std::unique_ptr<Backend> inner, std::shared_ptr<Profile> profile)
      : inner_(std::move(inner)), profile_(std::move(profile)) {}

  // --- questions, which cost nothing
  std::string description() const override { return inner_->description(); }
  std::vector<std::string> choices() const override { return inner_->choices(); }
  size_t available_bytes() const override { return inner_->available_bytes(); }
  bool host_memory() const override { return inner_->host_memory(); }
  uint64_t allocations() const override { return inner_->allocations(); }
  std::unique_lock<std::recursive_mutex> exclusive() override { return inner_->exclusive(); }
  size_t packed_bytes(int64_t in, int64_t out, DType store) const override {
    return inner_->packed_bytes(in, out, store);
  }
  DType activation_dtype(DType weights) const override { return inner_->activation_dtype(weights); }
  size_t batch_bytes(int64_t rows, int64_t sequences) const override {
    return inner_->batch_bytes(rows, sequences);
  }
  size_t kv_bytes(int64_t capacity, int heads, int head_width, DType dtype) const override {
    return inner_->kv_bytes(capacity, heads, head_width, dtype);
  }
  bool reads_attention_output() const override { return inner_->reads_attention_output(); }
  bool fuses(const LayerNormArgs& norm, const LinearArgs& args) const override {
    return inner_->fuses(norm, args);
  }
  bool fuses(const AttentionArgs& args) const override { return inner_->fuses(args); }
  bool records() const override { return inner_->records(); }
  size_t recorded_list() const override { return inner_->recorded_list(); }
  void begin_range(const char* name, double bytes, double flops) override {
    inner_->begin_range(name, bytes, flops);
  }
  void end_range() override { inner_->end_range(); }

  // --- memory and weights
  Buffer allocate(size_t bytes) override {
    return run("allocate", {}, [&] { return inner_->allocate(bytes); });
  }
  Buffer allocate_host(size_t bytes) override {
    return run("allocate_host", {}, [&] { return inner_->allocate_host(bytes); });
  }
  void upload(void* device, const void* host, size_t bytes) override {
    run("upload", moved(2, bytes), [&] { inner_->upload(device, host, bytes); });
  }
  void download(void* host, const void* device, size_t bytes) override {
    run("download", moved(2, bytes), [&] { inner_->download(host, device, bytes); });
  }
  std::function<void()> download_later(void* host, const void* device, size_t bytes) override {
    return run("download_later", moved(2, bytes),
               [&] { return inner_->download_later(host, device, bytes); });
  }
  void copy(void* to, const void* from, size_t bytes) override {
    run("copy", moved(2, bytes), [&] { inner_->copy(to, from, bytes); });
  }
  void clear(void* device, size_t bytes) override {
    run("clear", moved(1, bytes), [&] { inner_->clear(device, bytes); });
  }
  void synchronize() override {
    run("synchronize", {}, [&] { inner_->synchronize(); });
  }
  PackedMatrix pack(const HostWeight& source, DType store, std::byte* destination) override {
    return run("pack", profile::pack(source, store),
               [&] { return inner_->pack(source, store, destination); });
  }
  void place(const PassBatch& batch) override {
    const auto rows = static_cast<int64_t>(batch.ids.size());
    const size_t bytes = inner_->batch_bytes(rows, std::ssize(batch.sequences));
    run("place", moved(1, bytes), [&] { inner_->place(batch); });
  }

  // --- forward
  void embed(const PassBatch& batch, const PackedMatrix& token_table,
             const PackedMatrix& position_table, Mat out) override {
    run("embed", profile::embed(batch, token_table, position_table, out),
        [&] { inner_->embed(batch, token_table, position_table, out); });
  }
  void lookup(const PassBatch& batch, Lookup by, const PackedMatrix& table, Mat out) override {
    run("lookup", profile::lookup(batch, table, out),
        [&] { inner_->lookup(batch, by, table, out); });
  }
  void layernorm(const LayerNormArgs& args) override {
    run("layernorm", profile::layernorm(args), [&] { inner_->layernorm(args); });
  }
  void layernorm_scale(Mat x, float epsilon, Mat scale) override {
    run("layernorm_scale", profile::matrices({x, scale}),
        [&] { inner_->layernorm_scale(x, epsilon, scale); });
  }
  void layernorm_apply(const LayerNormArgs& args) override {
    run("layernorm_apply", profile::layernorm(args), [&] { inner_->layernorm_apply(args); });
  }
  void linear(const LinearArgs& args) override {
    run("linear", profile::linear(args), [&] { inner_->linear(args); });
  }
  void linear_of_layernorm(const LayerNormArgs& norm, const LinearArgs& args) override {
    if (!fuses(norm, args))
      return Backend::linear_of_layernorm(norm, args);  // each part by its own name
    run("linear_of_layernorm", profile::layernorm(norm) + profile::linear(args),
        [&] { inner_->linear_of_layernorm(norm, args); });
  }
  void activate(Mat x, Activation activation, Mat out) override {
    run("activate", profile::matrices({x, out}), [&] { inner_->activate(x, activation, out); });
  }
  void add(Mat a, Mat b, Mat out) override {
    run("add", profile::matrices({a, b, out}), [&] { inner_->add(a, b, out); });
  }

  // --- attention
  void append_kv(Mat k, Mat v, int heads, int head_width, const PassBatch& batch,
                 std::byte* cache) override {
    run("append_kv", profile::append_kv(k, v),
        [&] { inner_->append_kv(k, v, heads, head_width, batch, cache); });
  }
  void attention(const AttentionArgs& args) override {
    run("attention", profile::attention(args), [&] { inner_->attention(args); });
  }
  void append_and_attend(Mat k, Mat v, const AttentionArgs& args) override {
    if (!fuses(args)) return Backend::append_and_attend(k, v, args);
    run("append_and_attend", profile::append_kv(k, v) + profile::attention(args),
        [&] { inner_->append_and_attend(k, v, args); });
  }
  void attention_scores(const AttentionArgs& args) override {
    run("attention_scores", profile::attention_scores(args),
        [&] { inner_->attention_scores(args); });
  }
  void attention_softmax(const AttentionArgs& args) override {
    run("attention_softmax", profile::attention_softmax(args),
        [&] { inner_->attention_softmax(args); });
  }
  void attention_mix(const AttentionArgs& args) override {
    run("attention_mix", profile::attention_mix(args), [&] { inner_->attention_mix(args); });
  }

  // --- backward
  void linear_backward(const LinearBackwardArgs& args) override {
    run("linear_backward", profile::linear_backward(args), [&] { inner_->linear_backward(args); });
  }
  void activate_backward(Mat dy, Mat before, Activation activation, Mat dx) override {
    run("activate_backward", profile::matrices({dy, before, dx}),
        [&] { inner_->activate_backward(dy, before, activation, dx); });
  }
  void layernorm_backward(const LayerNormBackwardArgs& args) override {
    run("layernorm_backward", profile::layernorm_backward(args),
        [&] { inner_->layernorm_backward(args); });
  }
  void layernorm_backward_scale(const LayerNormBackwardArgs& args) override {
    run("layernorm_backward_scale", profile::layernorm_backward(args),
        [&] { inner_->layernorm_backward_scale(args); });
  }
  void layernorm_backward_apply(const LayerNormBackwardArgs& args) override {
    run("layernorm_backward_apply", profile::layernorm_backward(args),
        [&] { inner_->layernorm_backward_apply(args); });
  }
  void attention_backward(const AttentionBackwardArgs& args) override {
    run("attention_backward", profile::attention_backward(args),
        [&] { inner_->attention_backward(args); });
  }
  void attention_backward_pattern(const AttentionBackwardArgs& args) override {
    run("attention_backward_pattern", profile::attention_backward_pattern(args),
        [&] { inner_->attention_backward_pattern(args); });
  }
  void attention_backward_scores(const AttentionBackwardArgs& args) override {
    run("attention_backward_scores", profile::attention_backward_scores(args),
        [&] { inner_->attention_backward_scores(args); });
  }
  void attention_backward_inputs(const AttentionBackwardArgs& args) override {
    run("attention_backward_inputs", profile::attention_backward_inputs(args),
        [&] { inner_->attention_backward_inputs(args); });
  }
  void logit_targets(const LogitTargetArgs& args) override {
    run("logit_targets", profile::logit_targets(args), [&] { inner_->logit_targets(args); });
  }
  void convert(Mat from, Mat to) override {
    run("convert", profile::matrices({from, to}), [&] { inner_->convert(from, to); });
  }

  // --- logits
  void logit_stats(const LogitStatsArgs& args) override {
    run("logit_stats", profile::logit_stats(args), [&] { inner_->logit_stats(args); });
  }
  void sample(const SampleArgs& args) override {
    run("sample", profile::sample(args), [&] { inner_->sample(args); });
  }

  // --- recorded passes
  void begin_recording() override {
    inner_->begin_recording();
    const std::lock_guard lock(mutex_);
    recording_ = true;
    recorded_ = {};
  }
  std::unique_ptr<Recording> end_recording() override {
    const std::lock_guard lock(mutex_);
    recording_ = false;
    return std::make_unique<ProfiledRecording>(inner_->end_recording(), *inner_, profile_,
                                               recorded_);
  }
  void abandon_recording() noexcept override {
    inner_->abandon_recording();
    const std::lock_guard lock(mutex_);
    recording_ = false;
  }
  void next_step(const NextStepArgs& args) override {
    run("next_step", profile::next_step(args), [&] { inner_->next_step(args); });
  }

  // --- hooks
  void edit(const EditArgs& args) override {
    run("edit", profile::edit(args), [&] { inner_->edit(args); });
  }
  void gather(Mat x, const Selection& where, DType store, std::byte* destination) override {
    run("gather", profile::gather(x, where, store),
        [&] { inner_->gather(x, where, store, destination); });
  }
  void scatter(const float* source, const Selection& where, Mat x) override {
    run("scatter", profile::scatter(where, x), [&] { inner_->scatter(source, where, x); });
  }

  // --- statistics
  void widen(Mat x, const double* origin, double* out, int32_t* spoiled) override {
    run("widen", profile::widen(x, origin), [&] { inner_->widen(x, origin, out, spoiled); });
  }
  void join_moments(const MomentsArgs& args) override {
    run("join_moments", profile::join_moments(args), [&] { inner_->join_moments(args); });
  }

 private:
  static Work moved(int times, size_t bytes) { return {times * static_cast<double>(bytes)}; }

  template <typename Operation>
  std::invoke_result_t<Operation> run(const char* name, const Work& work,
                                      const Operation& operation) {
    const Range range(*inner_, name, work);
    if constexpr (std::is_void_v<std::invoke_result_t<Operation>>) {
      operation();
      take(name, work, range.seconds());
    } else {
      auto result = operation();
      take(name, work, range.seconds());
      return result;
    }
  }

  /// While a recording is made nothing runs: the work counts when it does.
  void take(const char* name, const Work& work, double seconds) {
    const std::lock_guard lock(mutex_);
    if (!recording_) return profile_->add(name, {1, seconds, work.bytes, work.flops});
    recorded_.bytes += work.bytes;
    recorded_.flops += work.flops;
  }

  std::unique_ptr<Backend> inner_;
  std::shared_ptr<Profile> profile_;
  std::mutex mutex_;
  bool recording_ = false;
  Work recorded_;
};

}  // namespace

std::unique_ptr<Backend> make_profiling_backend(std::unique_ptr<Backend> backend,
                                                std::shared_ptr<Profile> profile) {
  return std::make_unique<ProfilingBackend>(std::move(backend), std::move(profile));
}

std::unique_ptr<Backend> make_profiling_backend(std::unique_ptr<Backend> backend) {
  const ProfileTimes times =
      backend->host_memory() ? ProfileTimes::kOperations : ProfileTimes::kLaunches;
  auto profile = profile_of(backend->description(), times);
  return make_profiling_backend(std::move(backend), std::move(profile));
}

}  // namespace vitrine::internal
