// What the CPU's kernels reach, as shares of what this machine can do at all: the ceilings (reading of memory, fused
// multiply-adds) are measured in the same run, on as many threads. Data are random, never zero.

#include <benchmark/benchmark.h>
#include <hwy/highway.h>
#include <omp.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"

#ifdef VITRINE_BENCH_CBLAS
#include <cblas.h>
extern "C" void openblas_set_num_threads(int);
#endif

namespace vitrine {
namespace {

constexpr int64_t kWidth = 768, kInner = 3072, kVocab = 50257;  // GPT-2 small

std::map<int, double> gigabytes_a_second;  // the ceilings by threads, once measured
std::map<int, double> gigaflops;

const std::vector<float>& noise() {
  static const std::vector<float> values = [] {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    std::vector<float> v(1 << 20);
    for (float& x : v) x = normal(random);
    return v;
  }();
  return values;
}

void fill(float* data, int64_t count) {
  const std::vector<float>& n = noise();
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(n.size())) {
    std::copy_n(n.begin(), std::min<int64_t>(count - i, static_cast<int64_t>(n.size())), data + i);
  }
}

struct Array {
  Array(Backend& backend, int64_t rows, int64_t cols)
      : buffer(backend.allocate(static_cast<size_t>(rows * cols) * sizeof(float))), mat(buffer.f32(), rows, cols) {
    fill(mat.f32(), rows * cols);
  }
  Buffer buffer;
  Mat mat;
};

struct Weight {
  Weight(Backend& backend, int64_t in, int64_t out, DType dtype) {
    std::vector<float> host(static_cast<size_t>(in * out));
    fill(host.data(), in * out);
    buffer = backend.allocate(backend.packed_bytes(in, out, dtype));
    packed = backend.pack({host.data(), DType::kF32, in, out, out, 1}, dtype, buffer.data());
  }
  Buffer buffer;
  PackedMatrix packed;
};

// Times each iteration by itself. The rates that are printed are those of the median: the mean, in the first column, is at
// the mercy of whatever else the machine does.
class Laps {
 public:
  explicit Laps(benchmark::State& state) : state_(state) {}

  template <typename F>
  void run(const F& f) {
    for (auto _ : state_) {
      const double start = omp_get_wtime();
      f();
      seconds_.push_back(omp_get_wtime() - start);
    }
    std::sort(seconds_.begin(), seconds_.end());
    state_.counters["median_us"] = 1e6 * median();
  }

  double median() const { return seconds_[seconds_.size() / 2]; }
  double best() const { return seconds_.front(); }

  void report_bytes(double bytes) const {
    state_.counters["GB/s"] = 1e-9 * bytes / median();
    const auto ceiling = gigabytes_a_second.find(static_cast<int>(state_.range(0)));
    if (ceiling != gigabytes_a_second.end()) state_.counters["of_read"] = 1e-9 * bytes / median() / ceiling->second;
  }

  void report_flops(double flops) const {
    state_.counters["GFLOP/s"] = 1e-9 * flops / median();
    const auto ceiling = gigaflops.find(static_cast<int>(state_.range(0)));
    if (ceiling != gigaflops.end()) state_.counters["of_fma"] = 1e-9 * flops / median() / ceiling->second;
  }

 private:
  benchmark::State& state_;
  std::vector<double> seconds_;
};

int threads_of(const benchmark::State& state) { return static_cast<int>(state.range(0)); }

// --- ceilings

// Eight streams a thread, in the widest vectors that the compiler knows of here; memory, not instructions, is the limit.
double sum_of(const float* data, int64_t count) {
  using Wide = float __attribute__((vector_size(32), aligned(32)));
  Wide sums[8] = {};
  const auto* at = reinterpret_cast<const Wide*>(data);
  for (int64_t i = 0; i + 8 <= count / 8; i += 8) {
    __builtin_prefetch(at + i + 128);
    __builtin_prefetch(at + i + 130);
    __builtin_prefetch(at + i + 132);
    __builtin_prefetch(at + i + 134);
    for (int j = 0; j < 8; ++j) sums[j] += at[i + j];
  }
  double total = 0.0;
  for (const Wide& s : sums) total += static_cast<double>(s[0]);
  return total;
}

void read_ceiling(benchmark::State& state) {
  const int threads = threads_of(state);
  const auto backend = make_cpu_backend({.threads = threads});
  const Array data(*backend, 1 << 14, 1 << 12);  // 256 MB
  const int64_t count = data.mat.rows * data.mat.cols;
  Laps laps(state);
  laps.run([&] {
    double total = 0.0;
#pragma omp parallel for num_threads(threads) reduction(+ : total)
    for (int t = 0; t < threads; ++t) total += sum_of(data.mat.f32() + count / threads * t, count / threads);
    benchmark::DoNotOptimize(total);
  });
  gigabytes_a_second[threads] = 4e-9 * static_cast<double>(count) / laps.best();
  laps.report_bytes(4.0 * static_cast<double>(count));
}

#if HWY_ARCH_X86
__attribute__((target("avx2,fma"))) double multiply_adds(int64_t steps) {
  using Wide = float __attribute__((vector_size(32)));
  Wide a[12];
#pragma GCC unroll 12
  for (int j = 0; j < 12; ++j) a[j] = Wide{} + static_cast<float>(j);
  const Wide factor = Wide{} + 0.999f, term = Wide{} + 0.001f;
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j) asm volatile("vfmadd213ps %2, %1, %0" : "+x"(a[j]) : "x"(factor), "x"(term));
  }
  Wide sum{};
#pragma GCC unroll 12
  for (int j = 0; j < 12; ++j) sum += a[j];
  return static_cast<double>(sum[0]);
}

void fma_ceiling(benchmark::State& state) {
  const int threads = threads_of(state);
  constexpr int64_t kSteps = 1 << 18;
  const double flops = 2.0 * 8 * 12 * kSteps * threads;
  Laps laps(state);
  laps.run([&] {
    double total = 0.0;
#pragma omp parallel for num_threads(threads) reduction(+ : total)
    for (int t = 0; t < threads; ++t) total += multiply_adds(kSteps);
    benchmark::DoNotOptimize(total);
  });
  gigaflops[threads] = 1e-9 * flops / laps.best();
  laps.report_flops(flops);
}
#endif

// --- products

void linear(benchmark::State& state, int64_t in, int64_t out, DType dtype, Activation activation) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  const int64_t rows = state.range(1);
  // As many copies of the weight as a model has layers, so that one product does not find it in the cache.
  const int64_t bytes = static_cast<int64_t>(backend->packed_bytes(in, out, dtype));
  std::vector<Weight> weights;
  for (int64_t total = 0; total < (rows <= 8 ? int64_t{128} << 20 : 1); total += bytes)
    weights.emplace_back(*backend, in, out, dtype);
  const Array x(*backend, rows, in), y(*backend, rows, out), bias(*backend, 1, out);
  size_t next = 0;
  Laps laps(state);
  laps.run([&] {
    LinearArgs args;
    args.x = x.mat;
    args.weight = &weights[next++ % weights.size()].packed;
    args.bias = bias.mat.f32();
    args.activation = activation;
    args.out = y.mat;
    backend->linear(args);
  });
  if (rows <= 8) laps.report_bytes(static_cast<double>(bytes));
  if (rows > 1) laps.report_flops(2.0 * static_cast<double>(rows * in * out));
}

#ifdef VITRINE_BENCH_CBLAS
void openblas(benchmark::State& state, int64_t in, int64_t out) {
  const auto backend = make_cpu_backend({.threads = 1});
  openblas_set_num_threads(threads_of(state));
  const auto rows = static_cast<int>(state.range(1)), k = static_cast<int>(in), n = static_cast<int>(out);
  const Array x(*backend, rows, in), w(*backend, in, out), y(*backend, rows, out);
  Laps laps(state);
  laps.run([&] {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, n, k, 1.0f, x.mat.f32(), k, w.mat.f32(), n, 0.0f, y.mat.f32(), n);
  });
  laps.report_flops(2.0 * static_cast<double>(rows) * static_cast<double>(in * out));
}
#endif

// --- the rest of a layer

void attention(benchmark::State& state, bool taps) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  constexpr int kHeads = 12, kHeadWidth = 64;
  const int64_t rows = state.range(1), past = state.range(2), total = rows + past;
  const Array qkv(*backend, total, 3 * kWidth), z(*backend, rows, kWidth);
  const Buffer cache = backend->allocate(backend->kv_bytes(total, kHeads, kHeadWidth, DType::kF32));
  const Mat all = qkv.mat;
  const SequenceSlice whole{0, total, 0, 0, total, 0}, slice{0, rows, past, 0, total, 0};
  const PassBatch all_tokens{.sequences = {&whole, 1}}, new_tokens{.sequences = {&slice, 1}};
  backend->append_kv(all.columns(kWidth, kWidth), all.columns(2 * kWidth, kWidth), kHeads, kHeadWidth, all_tokens, cache.data());
  const Array maps(*backend, 2, taps ? kHeads * rows * total : 1);
  AttentionArgs args;
  args.q = all.row_range(past, rows).columns(0, kWidth);
  args.heads = kHeads;
  args.head_width = kHeadWidth;
  args.scale = 0.125f;
  args.batch = &new_tokens;
  args.cache = cache.data();
  args.z = z.mat;
  if (taps) args.scores = maps.mat.row(0), args.pattern = maps.mat.row(1);
  Laps laps(state);
  laps.run([&] { backend->attention(args); });
  const double pairs = static_cast<double>(rows) * static_cast<double>(past) + 0.5 * static_cast<double>(rows * (rows + 1));
  laps.report_flops(4.0 * pairs * kWidth);
  if (rows == 1) laps.report_bytes(8.0 * static_cast<double>(total * kWidth));
}

void append_kv(benchmark::State& state) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  const int64_t rows = state.range(1);
  const Array k(*backend, rows, kWidth), v(*backend, rows, kWidth);
  const Buffer cache = backend->allocate(backend->kv_bytes(rows, 12, 64, DType::kF32));
  const SequenceSlice slice{0, rows, 0, 0, rows, 0};
  const PassBatch batch{.sequences = {&slice, 1}};
  Laps laps(state);
  laps.run([&] { backend->append_kv(k.mat, v.mat, 12, 64, batch, cache.data()); });
  laps.report_bytes(8.0 * static_cast<double>(rows * kWidth));
}

void layernorm(benchmark::State& state) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  const Array x(*backend, state.range(1), kWidth), parameters(*backend, 2, kWidth), out(*backend, state.range(1), kWidth);
  LayerNormArgs args;
  args.x = x.mat;
  args.weight = parameters.mat.row(0);
  args.bias = parameters.mat.row(1);
  args.out = out.mat;
  Laps laps(state);
  laps.run([&] { backend->layernorm(args); });
  laps.report_bytes(8.0 * static_cast<double>(state.range(1) * kWidth));
}

void activate(benchmark::State& state, Activation activation) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  const Array x(*backend, 64, kInner), out(*backend, 64, kInner);
  Laps laps(state);
  laps.run([&] { backend->activate(x.mat, activation, out.mat); });
  state.counters["elements/s"] = 64.0 * kInner / laps.median();
}

void logit_stats(benchmark::State& state) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  const int64_t rows = state.range(1);
  const Weight unembed(*backend, kWidth, kVocab, DType::kF32);
  const Array x(*backend, rows, kWidth);
  std::vector<int32_t> ids(static_cast<size_t>(10 * rows)), watch(static_cast<size_t>(rows), 7), ranks(watch.size());
  std::vector<float> values(ids.size()), lse(watch.size()), entropy(watch.size()), watched(watch.size());
  LogitStatsArgs args;
  args.x = x.mat;
  args.unembed = &unembed.packed;
  args.top_k = 10;
  args.top_ids = ids.data();
  args.top_logits = values.data();
  args.lse = lse.data();
  args.entropy = entropy.data();
  args.watch = watch;
  args.watch_logits = watched.data();
  args.watch_ranks = ranks.data();
  Laps laps(state);
  laps.run([&] { backend->logit_stats(args); });
  laps.report_flops(2.0 * static_cast<double>(rows) * kWidth * kVocab);
}

void sample(benchmark::State& state, float temperature, int top_k, float top_p) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  const Array logits(*backend, 1, kVocab);
  for (int64_t i = 0; i < kVocab; ++i) logits.mat.f32()[i] *= 150.0f;
  std::vector<int32_t> ids(1);
  std::vector<double> uniform = {0.7};
  SampleArgs args;
  args.logits = logits.mat;
  args.temperature = temperature;
  args.top_k = top_k;
  args.top_p = top_p;
  args.uniform = uniform;
  args.ids = ids;
  Laps laps(state);
  laps.run([&] { backend->sample(args); });
}

void pack(benchmark::State& state, int64_t in, int64_t out, bool transposed, DType store) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  const Array source(*backend, in, out);
  const Buffer buffer = backend->allocate(backend->packed_bytes(in, out, store));
  const HostWeight weight{source.mat.data, DType::kF32, in, out, transposed ? 1 : out, transposed ? in : 1};
  Laps laps(state);
  laps.run([&] { benchmark::DoNotOptimize(backend->pack(weight, store, buffer.data())); });
  laps.report_bytes(4.0 * static_cast<double>(in * out));  // of the source
}

void embed(benchmark::State& state) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  const Weight tokens(*backend, kWidth, kVocab, DType::kF32), positions(*backend, kWidth, 1024, DType::kF32);
  const int64_t rows = state.range(1);
  std::vector<int32_t> ids(static_cast<size_t>(rows)), places(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 7919 % kVocab), places[i] = static_cast<int32_t>(i);
  const Array out(*backend, rows, kWidth);
  Laps laps(state);
  laps.run([&] { backend->embed({ids, places}, tokens.packed, positions.packed, out.mat); });
}

void capture(benchmark::State& state, DType store) {
  const auto backend = make_cpu_backend({.threads = threads_of(state)});
  const Array x(*backend, 512, kWidth);
  std::vector<int64_t> rows(512);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  const std::vector<Selection::Range> cols = {{0, kWidth}};
  Selection all;
  all.rows = rows;
  all.cols = cols;
  const Buffer to = backend->allocate(512 * kWidth * sizeof(float));
  Laps laps(state);
  laps.run([&] { backend->gather(x.mat, all, store, to.data()); });
  laps.report_bytes(4.0 * 512 * kWidth);
}

// Google Benchmark runs in the order of registration: first the ceilings.
const std::vector<int64_t> kThreads = {1, 2};

void products() {
  const struct {
    const char* name;
    int64_t in, out;
    Activation activation;
  } shapes[] = {{"qkv", kWidth, 3 * kWidth, Activation::kNone},
                {"attn_out", kWidth, kWidth, Activation::kNone},
                {"mlp_in", kWidth, kInner, Activation::kGeluTanh},
                {"mlp_out", kInner, kWidth, Activation::kNone},
                {"unembed", kWidth, kVocab, Activation::kNone}};
  for (const auto& s : shapes) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      const std::string name = std::string("linear/") + s.name + "/" + std::string(dtype_name(dtype));
      auto* bench = benchmark::RegisterBenchmark(name.c_str(), linear, s.in, s.out, dtype, s.activation);
      bench->ArgsProduct({kThreads, {1, 4, 8, 16, 64, 512}})->UseRealTime()->Unit(benchmark::kMicrosecond);
    }
#ifdef VITRINE_BENCH_CBLAS
    benchmark::RegisterBenchmark((std::string("openblas/") + s.name).c_str(), openblas, s.in, s.out)
        ->ArgsProduct({kThreads, {16, 64, 512}})
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
#endif
  }
}

void others() {
  const auto add = [](const char* name, auto&&... f) {
    return benchmark::RegisterBenchmark(name, f...)->UseRealTime()->Unit(benchmark::kMicrosecond);
  };
  add("attention", attention, false)->ArgsProduct({kThreads, {128, 512, 1024}, {0}});
  add("attention/maps", attention, true)->ArgsProduct({kThreads, {512}, {0}});
  add("attention/decode", attention, false)->ArgsProduct({kThreads, {1}, {63, 511, 1023}});
  add("append_kv", append_kv)->ArgsProduct({kThreads, {1, 512}});
  add("layernorm", layernorm)->ArgsProduct({kThreads, {1, 512}});
  add("activate/gelu_tanh", activate, Activation::kGeluTanh)->ArgsProduct({kThreads});
  add("activate/gelu_erf", activate, Activation::kGeluErf)->ArgsProduct({kThreads});
  add("logit_stats", logit_stats)->ArgsProduct({kThreads, {1, 64, 512}});
  add("sample/greedy", sample, 0.0f, 0, 1.0f)->ArgsProduct({{1}});
  add("sample/plain", sample, 1.0f, 0, 1.0f)->ArgsProduct({{1}});
  add("sample/top_k", sample, 0.8f, 40, 1.0f)->ArgsProduct({{1}});
  add("sample/top_p", sample, 0.8f, 0, 0.95f)->ArgsProduct({{1}});
  add("pack/conv1d/f32", pack, kWidth, kInner, false, DType::kF32)->ArgsProduct({kThreads});
  add("pack/wte/f32", pack, kWidth, kVocab, true, DType::kF32)->ArgsProduct({kThreads});
  add("pack/wte/bf16", pack, kWidth, kVocab, true, DType::kBF16)->ArgsProduct({kThreads});
  add("embed", embed)->ArgsProduct({kThreads, {1, 512}});
  add("gather/f32", capture, DType::kF32)->ArgsProduct({kThreads});
  add("gather/bf16", capture, DType::kBF16)->ArgsProduct({kThreads});
}

}  // namespace
}  // namespace vitrine

int main(int argc, char** argv) {
  using namespace vitrine;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const auto ceiling = [](const char* name, void (*run)(benchmark::State&)) {
    benchmark::RegisterBenchmark(name, run)->ArgsProduct({kThreads})->UseRealTime()->Unit(benchmark::kMicrosecond);
  };
  ceiling("ceiling/read", read_ceiling);
#if HWY_ARCH_X86
  ceiling("ceiling/fma", fma_ceiling);
#endif
  products();
  others();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
