#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/kv_layout.h"

namespace vitrine {
namespace {

using cpu::KvLayout;

void score_row(const float* q, const float* keys, int64_t width, int64_t length, float scale, float* scores) {
  for (int64_t j = 0; j < length; ++j) {
    const float* key = keys + j / 16 * 16 * width + j % 16;
    float sum = 0.0f;
    for (int64_t k = 0; k < width; ++k) sum += q[k] * key[k * 16];
    scores[j] = sum * scale;
  }
}

float softmax_row(const float* scores, int64_t length, float* pattern) {
  float highest = scores[0];
  for (int64_t j = 1; j < length; ++j) highest = std::max(highest, scores[j]);
  float sum = 0.0f;
  for (int64_t j = 0; j < length; ++j) sum += pattern[j] = std::exp(scores[j] - highest);
  for (int64_t j = 0; j < length; ++j) pattern[j] *= 1.0f / sum;
  return highest + std::log(sum);
}

void mix_row(const float* pattern, const float* values, const KvLayout& layout, int64_t length, float* z) {
  for (int64_t k = 0; k < layout.width; ++k) {
    const float* value = values + k / 16 * 16 * layout.capacity + k % 16;
    float sum = 0.0f;
    for (int64_t j = 0; j < length; ++j) sum += pattern[j] * value[j * 16];
    z[k] = sum;
  }
}

template <typename F>
void for_each_query(const AttentionArgs& args, const F& f) {
  for (const SequenceSlice& s : args.sequences) {
    const KvLayout layout{args.heads, args.head_width, s.capacity};
    for (int64_t h = 0; h < args.heads; ++h) {
      for (int64_t i = 0; i < s.rows; ++i) f(s, layout, h, i, s.map + (h * s.rows + i) * (s.past + s.rows));
    }
  }
}

void write_map(float* map, const float* row, int64_t length, int64_t total, float masked) {
  std::copy(row, row + length, map);
  std::fill(map + length, map + total, masked);
}

}  // namespace

size_t CpuBackend::kv_bytes(int64_t capacity, int heads, int head_width) const {
  return KvLayout{heads, head_width, capacity}.bytes();
}

void CpuBackend::append_kv(Mat k, Mat v, int heads, int head_width, std::span<const SequenceSlice> sequences) {
  for (const SequenceSlice& s : sequences) {
    const KvLayout layout{heads, head_width, s.capacity};
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < s.rows; ++i) {
        for (int64_t c = 0; c < head_width; ++c) {
          const int64_t j = s.past + i;
          layout.keys(s.cache, h)[(j / 16 * head_width + c) * 16 + j % 16] = k.row(s.row + i)[h * head_width + c];
          layout.values(s.cache, h)[(c / 16 * s.capacity + j) * 16 + c % 16] = v.row(s.row + i)[h * head_width + c];
        }
      }
    }
  }
}

void CpuBackend::attention(const AttentionArgs& args) {
  std::vector<float> scores, pattern;
  for_each_query(args, [&](const SequenceSlice& s, const KvLayout& layout, int64_t h, int64_t i, int64_t map) {
    const int64_t length = s.past + i + 1, total = s.past + s.rows, width = layout.width;
    scores.resize(static_cast<size_t>(total));
    pattern.resize(static_cast<size_t>(total));
    score_row(args.q.row(s.row + i) + h * width, layout.keys(s.cache, h), width, length, args.scale, scores.data());
    const float lse = softmax_row(scores.data(), length, pattern.data());
    mix_row(pattern.data(), layout.values(s.cache, h), layout, length, args.z.row(s.row + i) + h * width);
    if (args.scores) write_map(args.scores + map, scores.data(), length, total, -std::numeric_limits<float>::infinity());
    if (args.pattern) write_map(args.pattern + map, pattern.data(), length, total, 0.0f);
    if (args.lse) args.lse.row(s.row + i)[h] = lse;
  });
}

void CpuBackend::attention_scores(const AttentionArgs& args) {
  for_each_query(args, [&](const SequenceSlice& s, const KvLayout& layout, int64_t h, int64_t i, int64_t map) {
    const int64_t length = s.past + i + 1, total = s.past + s.rows, width = layout.width;
    score_row(args.q.row(s.row + i) + h * width, layout.keys(s.cache, h), width, length, args.scale, args.scores + map);
    std::fill(args.scores + map + length, args.scores + map + total, -std::numeric_limits<float>::infinity());
  });
}

void CpuBackend::attention_softmax(const AttentionArgs& args) {
  for_each_query(args, [&](const SequenceSlice& s, const KvLayout&, int64_t h, int64_t i, int64_t map) {
    const int64_t length = s.past + i + 1;
    const float lse = softmax_row(args.scores + map, length, args.pattern + map);
    std::fill(args.pattern + map + length, args.pattern + map + s.past + s.rows, 0.0f);
    if (args.lse) args.lse.row(s.row + i)[h] = lse;
  });
}

void CpuBackend::attention_mix(const AttentionArgs& args) {
  for_each_query(args, [&](const SequenceSlice& s, const KvLayout& layout, int64_t h, int64_t i, int64_t map) {
    mix_row(args.pattern + map, layout.values(s.cache, h), layout, s.past + i + 1, args.z.row(s.row + i) + h * layout.width);
  });
}

}  // namespace vitrine
