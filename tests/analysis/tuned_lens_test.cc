// SPDX-License-Identifier: MIT
#include "vitrine/analysis/tuned_lens.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "analysis/lens/unembedding_hash.h"
#include "base/json.h"
#include "base/sha256.h"
#include "support.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/checkpoint/torch_file.h"

namespace vitrine::testing {
using namespace internal;
namespace {

std::filesystem::path golden_translators() {
  return std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" / "goldens" /
         "tuned_plain";
}

/// Translators that change nothing.
TunedLens identity(const Model& model) {
  TunedLens lens;
  lens.model = "small";
  lens.width = model.config().width;
  for (int layer = 0; layer < model.config().layers; ++layer) {
    lens.weights.emplace_back(DType::kF32, Shape{lens.width, lens.width});
    lens.biases.emplace_back(DType::kF32, Shape{lens.width});
  }
  return lens;
}

TEST(TunedLens, WithoutTranslationIsTheNormalizedLens) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  const Lens tuned =
                 lens(model, ids, {.mode = LensMode::kTuned, .tuned = identity(model), .kl = true}),
             plain = lens(model, ids, {.kl = true});
  EXPECT_EQ(tuned.layers, plain.layers);
  EXPECT_EQ(tuned.target_log_probs, plain.target_log_probs);
  EXPECT_EQ(tuned.kl, plain.kl);
}

TEST(TunedLens, TranslatesByPlainLoops) {
  const Model model = small_model();
  TunedLens lens = identity(model);
  const size_t width = 24;
  for (size_t i = 0; i < width * width; ++i)
    lens.weights[1].f32()[i] = static_cast<float>(std::sin(static_cast<double>(i)));
  for (size_t i = 0; i < width; ++i) lens.biases[1].f32()[i] = static_cast<float>(i);
  std::vector<float> rows(3 * width);
  for (size_t i = 0; i < rows.size(); ++i)
    rows[i] = static_cast<float>(std::cos(0.7 * static_cast<double>(i)));
  const Tensor got = lens.translate(1, Tensor::from(rows, {3, 24}));
  for (size_t r = 0; r < 3; ++r) {
    for (size_t out = 0; out < width; ++out) {
      double want = static_cast<double>(rows[r * width + out]) + static_cast<double>(out);
      for (size_t in = 0; in < width; ++in)
        want += static_cast<double>(lens.weights[1].f32()[out * width + in]) *
                static_cast<double>(rows[r * width + in]);
      EXPECT_NEAR(got.f32()[r * width + out], want, 1e-5 * (1 + std::abs(want)));
    }
  }
  EXPECT_EQ(user_error_of([&] {
              lens.translate(3, Tensor::from(rows, {3, 24}));
            }),
            "missing translator of layer 3: expected 0..2");
  EXPECT_EQ(user_error_of([&] {
              lens.translate(0, Tensor::from(rows, {9, 8}));
            }),
            "translators of width 24 do not match rows [9, 8]");
}

TEST(TunedLens, IsReadAsItWasWritten) {
  const Model model = Model::load(golden_folder("plain").string());
  const TunedLens first = load_tuned_lens(golden_translators(), model);
  TempFolder folder;
  save_tuned_lens(folder / "new", first);
  EXPECT_EQ(names_in(folder / "new").size(), 2u);
  const TunedLens second = load_tuned_lens(folder / "new", model);
  EXPECT_EQ(second.model, "plain");
  for (size_t l = 0; l < 3; ++l) {
    EXPECT_TRUE(std::ranges::equal(first.weights[l].f32(), second.weights[l].f32()));
    EXPECT_TRUE(std::ranges::equal(first.biases[l].f32(), second.biases[l].f32()));
  }
  EXPECT_EQ(load_torch_tensors(golden_translators() / "params.pt").at("1.weight").dtype(),
            DType::kF16);
}

/// A copy of the golden translators, as safetensors, to be spoilt.
class BadTranslators : public ::testing::Test {
 protected:
  void SetUp() override {
    lens_ = load_tuned_lens(golden_translators(), model_);
    save_tuned_lens(folder_.path(), lens_);
  }
  void set_config(const char* field, const Json& value) {
    Json json = read_json(folder_ / "config.json");
    json[field] = value;
    folder_.write("config.json", json.dump());
  }
  void set_tensors(const std::vector<std::pair<std::string, TensorView>>& tensors) {
    SafetensorsWriter::write(folder_ / "params.safetensors", tensors);
  }
  std::string refusal() {
    std::string line = user_error_of([&] { load_tuned_lens(folder_.path(), model_); });
    EXPECT_TRUE(line.starts_with(folder_.path().string())) << line;
    return line;
  }

  TempFolder folder_;
  Model model_ = Model::load(golden_folder("plain").string());
  TunedLens lens_;
};

TEST_F(BadTranslators, ConfigIsHeldToTheModel) {
  set_config("d_model", 31);
  EXPECT_TRUE(says(refusal(), "config.json", "d_model is 31", "expected 32, the model's width"));
  set_config("d_model", "32");
  EXPECT_TRUE(says(refusal(), "config.json", "d_model is '32'"));
  set_config("d_model", 32);
  set_config("num_hidden_layers", 12);
  EXPECT_TRUE(says(refusal(), "num_hidden_layers is 12", "expected 3, the model's layers"));
  set_config("num_hidden_layers", 3);
  set_config("lens_type", "mlp_tuned_lens");
  EXPECT_TRUE(says(refusal(), "lens_type is 'mlp_tuned_lens'", "linear_tuned_lens"));
  set_config("lens_type", "linear_tuned_lens");
  set_config("bias", false);
  EXPECT_TRUE(says(refusal(), "params.safetensors", "unexpected tensor '0.bias'"));
}

TEST_F(BadTranslators, AreNotThoseOfAnotherModel) {
  // The hash of the golden file is Python's: sha256 of numpy.array_str(wte, precision=1).
  const std::string hash = lens_.unembed_hash;
  EXPECT_EQ(hash.size(), 64u);
  EXPECT_EQ(package_hash(model_), hash);
  set_config("unembed_hash", std::string(64, '0'));
  EXPECT_TRUE(says(refusal(), "config.json: unembed_hash is '000", "expected " + hash,
                   "made for another model, 'plain'", "set the field to null"));
  set_config("unembed_hash", nullptr);
  EXPECT_EQ(load_tuned_lens(folder_.path(), model_).unembed_hash, "");
  set_config("vitrine_unembedding", unembedding_hash(model_));
  set_config("unembed_hash", std::string(64, '0'));
  EXPECT_EQ(load_tuned_lens(folder_.path(), model_).unembedding, unembedding_hash(model_))
      << "the exact hash decides";
  set_config("vitrine_unembedding", std::string(16, '0'));
  EXPECT_TRUE(says(refusal(), "vitrine_unembedding is '0000000000000000'"));
}

TEST(TunedLens, TheHashIsOfTheCheckpointWhateverTheStorage) {
  const std::string path = golden_folder("plain").string();
  const Model wide = Model::load(path), narrow = Model::load(path, {.dtype = DType::kF16});
  EXPECT_EQ(unembedding_hash(narrow), unembedding_hash(wide));
  EXPECT_EQ(package_hash(narrow), package_hash(wide));
  EXPECT_NE(unembedding_hash(Model::load(golden_folder("untied").string())),
            unembedding_hash(wide));
}

// hashlib.sha256(np.array_str(w, precision=1).encode()) of w [200, 9] float32, by NumPy 2.4.
TEST(TunedLens, ThePackagesHashIsOfNumPysText) {
  const auto hash = [](double (*element)(double value, int64_t column)) {
    Tensor edges(DType::kF32, {6, 9});
    auto next = edges.f32().begin();
    for (const int64_t row : {0, 1, 2, 197, 198, 199}) {
      for (int64_t column = 0; column < 9; ++column)
        *next++ = static_cast<float>(
            element(static_cast<double>((row * 9 + column) * 37 % 101 - 50), column));
    }
    return sha256_hex(numpy_text(edges, 200));
  };
  EXPECT_EQ(hash([](double value, int64_t) { return value / 8; }),
            "8e302d0c2fdfda63a964e82df92b65fd5e3de299b81c7d75b333720b75c3bd12");
  EXPECT_EQ(hash([](double value, int64_t) { return value / 4096; }),
            "fc8f532fcf0aacbc1f983756ee57796e5dd6384be1d0c3a26ec7804ee9082d57");
  EXPECT_EQ(
      hash([](double value, int64_t column) { return column == 0 ? value / 8000 : value / 8; }),
      "642e7d4a21a8a4f1ee52b4e28ed20e771f2dc130c795405d3394c383814caa2e");
  EXPECT_EQ(hash([](double value, int64_t) { return value * 1e-6; }),
            "ca99691efcbb3ae98599e4f979590b71bc2fbbb21d9428dc30b7fe681998fc71");
  EXPECT_EQ(hash([](double value, int64_t) { return value; }),
            "2f2b538e8029ad8a69de04b0d5ce7b7022944acd510449d20ab527b7d00b8d28");
  const Model untied = Model::load(golden_folder("untied").string());
  const TunedLens lens =
      load_tuned_lens(golden_translators().parent_path() / "tuned_untied", untied);
  EXPECT_EQ(package_hash(untied), lens.unembed_hash) << "of lm_head, not of wte";
}

TEST_F(BadTranslators, TensorsAreCheckedOneByOne) {
  const auto all = [&] {
    std::vector<std::pair<std::string, TensorView>> tensors;
    for (size_t l = 0; l < 3; ++l) {
      tensors.emplace_back(std::to_string(l) + ".weight", lens_.weights[l]);
      tensors.emplace_back(std::to_string(l) + ".bias", lens_.biases[l]);
    }
    return tensors;
  }();
  auto spoilt = all;
  spoilt.pop_back();
  set_tensors(spoilt);
  EXPECT_TRUE(says(refusal(), "missing tensor '2.bias'"));
  spoilt = all;
  spoilt[2].second = TensorView(spoilt[2].second.data(), DType::kF32, {16, 64});
  set_tensors(spoilt);
  EXPECT_TRUE(says(refusal(), "tensor '1.weight' has shape [16, 64]: expected [32, 32]"));
  spoilt = all;
  spoilt.emplace_back("3.bias", lens_.biases[0]);
  set_tensors(spoilt);
  EXPECT_TRUE(says(refusal(), "unexpected tensor '3.bias'"));
  Tensor nan = Tensor::from(lens_.biases[1].f32());
  nan.f32()[7] = std::numeric_limits<float>::quiet_NaN();
  spoilt = all;
  spoilt[3].second = nan;
  set_tensors(spoilt);
  EXPECT_TRUE(says(refusal(), "tensor '1.bias' has nan at element 7"));
  const Tensor integers(DType::kI32, {32});
  spoilt = all;
  spoilt[3].second = integers;
  set_tensors(spoilt);
  EXPECT_TRUE(says(refusal(), "tensor '1.bias' is i32"));
  std::filesystem::remove(folder_ / "params.safetensors");
  EXPECT_TRUE(says(refusal(), "expected params.safetensors or params.pt"));
  folder_.write("params.pt", "PK\x03\x04 nothing");
  EXPECT_TRUE(says(refusal(), "params.pt"));
}

TEST(TunedLens, LensRefusesTranslatorsThatDoNotFit) {
  const Model model = small_model();
  const auto ids = some_ids(4);
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.mode = LensMode::kTuned}); }),
            "missing translators of mode tuned: load them with load_tuned_lens, or fit them");
  TunedLens short_one = identity(model);
  short_one.weights.pop_back();
  EXPECT_EQ(
      user_error_of([&] { lens(model, ids, {.mode = LensMode::kTuned, .tuned = short_one}); }),
      "the translators are for 2 layers of width 24: expected 3 of width 24");
  EXPECT_EQ(
      user_error_of([&] {
        lens(model, ids,
             {.mode = LensMode::kTuned, .of = LensSource::kMlp, .tuned = identity(model)});
      }),
      "the tuned lens decodes the residual stream only; decode mlp outputs with mode normalized");
}

/// Gives the texts one after the other.
NextText giver(const Batch& texts) {
  return [texts, next = size_t{0}]() mutable -> std::optional<std::vector<int32_t>> {
    return next < texts.size() ? std::optional(texts[next++]) : std::nullopt;
  };
}

Batch some_texts(size_t count) {
  Batch texts;
  for (size_t i = 0; i < count; ++i) texts.push_back(some_ids(5 + i % 8, 100 + i));
  return texts;
}

TEST(TunedLensFit, ALargePenaltyLeavesOnlyTheMean) {
  const Model model = small_model();
  const TunedLensFit fit = fit_tuned_lens(model, giver(some_texts(20)), {.alpha = 1e12});
  for (const Tensor& weight : fit.lens.weights) {
    for (const float a : weight.f32()) EXPECT_NEAR(a, 0, 1e-9);
  }
}

TEST(TunedLensFit, IsRepeatable) {
  const Model model = small_model();
  const Batch texts = some_texts(30);
  const TunedLensFit a = fit_tuned_lens(model, giver(texts)),
                     b = fit_tuned_lens(model, giver(texts));
  EXPECT_TRUE(std::ranges::equal(a.lens.weights[1].f32(), b.lens.weights[1].f32()))
      << "the same corpus, the same bits";
  EXPECT_EQ(a.held_out_tokens + a.fitted_tokens, [&] {
    int64_t sum = 0;
    for (const auto& text : texts) sum += static_cast<int64_t>(text.size());
    return sum;
  }());
}

TEST(TunedLensFit, BudgetsEndTheReading) {
  const Model model = small_model();
  size_t asked = 0;
  const NextText endless = [&]() -> std::optional<std::vector<int32_t>> {
    return some_ids(8, ++asked);
  };
  const TunedLensFit fit =
      fit_tuned_lens(model, endless, {.max_tokens = 101, .held_out_every = 3, .max_held_out = 20});
  EXPECT_EQ(fit.fitted_tokens + fit.held_out_tokens, 101);
  EXPECT_EQ(fit.held_out_tokens, 20) << "8, 8 and of the last one what there was room for";
  EXPECT_EQ(asked, 14u)
      << "13 texts are 100 tokens, less the 4 cut off; of the last one only the rest is run";
}

TEST(TunedLensFit, RefusesWhatCannotBeFitted) {
  const Model model = small_model();
  const auto refusal = [&](const Batch& texts, const TunedLensFitOptions& options) {
    return user_error_of([&] { fit_tuned_lens(model, giver(texts), options); });
  };
  EXPECT_EQ(refusal(some_texts(20), {.alpha = 0}),
            "alpha 0 is out of range: expected > 0, such as 0.001");
  EXPECT_EQ(refusal(some_texts(20), {.alpha = std::nan("")}),
            "alpha nan is out of range: expected > 0, such as 0.001");
  EXPECT_EQ(refusal(some_texts(20), {.max_tokens = -1}),
            "max_tokens -1 is out of range: expected 0 (the whole corpus) or more");
  EXPECT_EQ(refusal(some_texts(20), {.held_out_every = 1}),
            "held_out_every 1 is out of range: expected at least 2");
  EXPECT_EQ(refusal(some_texts(20), {.max_held_out = 1}),
            "max_held_out 1 is out of range: expected at least 2");
  EXPECT_TRUE(says(refusal({}, {}), "has 0 tokens for the fit"));
  EXPECT_TRUE(says(refusal(some_texts(9), {}), "missing held-out text"));
  EXPECT_TRUE(says(refusal({std::vector<int32_t>(13, 1)}, {}), "13"));
}

}  // namespace
}  // namespace vitrine::testing
