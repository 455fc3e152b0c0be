// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/default_threads.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
namespace {

/// Texts that are handed out one at a time, so that a long one keeps no thread waiting, and what
/// became of them.
class Encoding {
 public:
  Encoding(const Tokenizer& tokenizer, std::span<const std::string_view> texts,
           Tokenizer::Special special)
      : tokenizer_(tokenizer), texts_(texts), special_(special), ids_(texts.size()) {}

  /// Until no text is left, or one could not be encoded.
  void work() noexcept {
    try {
      for (size_t i = next_++; i < texts_.size(); i = next_++)
        ids_[i] = tokenizer_.encode(texts_[i], special_);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_ = texts_.size();
    }
  }

  std::vector<std::vector<int32_t>> take() {
    if (failure_) std::rethrow_exception(failure_);
    return std::move(ids_);
  }

 private:
  const Tokenizer& tokenizer_;
  std::span<const std::string_view> texts_;
  Tokenizer::Special special_;
  std::vector<std::vector<int32_t>> ids_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

std::vector<std::vector<int32_t>> Tokenizer::encode_all(std::span<const std::string_view> texts,
                                                        int threads, Special special) const {
  Encoding encoding(*this, texts, special);
  const auto wanted =
      static_cast<size_t>(threads > 0 ? threads : internal::default_threads().threads);
  std::vector<std::thread> others;
  try {
    while (others.size() + 1 < std::min(wanted, texts.size()))
      others.emplace_back([&] { encoding.work(); });
  } catch (const std::system_error&) {
    // The system gives no more threads; those that there are do the work.
  }
  encoding.work();
  for (std::thread& other : others) other.join();
  return encoding.take();
}

}  // namespace vitrine
