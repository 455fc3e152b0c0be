// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>

#include "tests/kernels/harness.h"
#include "vitrine/error.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class MemoryTest : public KernelTest {};

TEST_P(MemoryTest, IsAlignedAndHoldsWhatIsPutThere) {
  for (size_t bytes :
       {size_t{1}, size_t{64}, size_t{4097}, size_t{2} << 20, (size_t{5} << 20) + 3}) {
    const Buffer buffer = backend->allocate(bytes);
    ASSERT_TRUE(buffer);
    EXPECT_EQ(buffer.bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    std::vector<std::byte> host(bytes), back(bytes);
    for (std::byte& byte : host) byte = static_cast<std::byte>(random());
    backend->upload(buffer.data(), host.data(), bytes);
    backend->download(back.data(), buffer.data(), bytes);
    EXPECT_TRUE(back == host) << bytes;
  }
}

TEST_P(MemoryTest, CopiesAndClearsWhatIsAskedForAndNothingElse) {
  const size_t bytes = (size_t{3} << 20) + 5;
  std::vector<std::byte> host(bytes), back(bytes);
  for (std::byte& byte : host) byte = static_cast<std::byte>(random());
  const Buffer from = backend->allocate(bytes), to = backend->allocate(bytes);
  for (const auto& [begin, count] : {std::pair<size_t, size_t>{0, bytes},
                                     {4, 4},
                                     {64, 1},
                                     {3, size_t{2} << 20},
                                     {17, 0},
                                     {17, 31}}) {
    std::vector<std::byte> want(bytes, std::byte{0x5a});
    backend->upload(from.data(), host.data(), bytes);
    backend->upload(to.data(), want.data(), bytes);
    backend->copy(to.data() + begin, from.data() + begin, count);
    std::copy_n(host.data() + begin, count, want.data() + begin);
    backend->download(back.data(), to.data(), bytes);
    EXPECT_TRUE(back == want) << count << " bytes copied from " << begin;
    backend->clear(to.data() + begin, count);
    std::fill_n(want.data() + begin, count, std::byte{0});
    backend->download(back.data(), to.data(), bytes);
    EXPECT_TRUE(back == want) << count << " bytes cleared from " << begin;
  }
}

TEST_P(MemoryTest, CopiesOfABufferShareIt) {
  Buffer first = backend->allocate(16);
  const Buffer second = first;
  first = {};
  const int value = 42;
  int back = 0;
  backend->upload(second.data(), &value, sizeof(value));
  backend->download(&back, second.data(), sizeof(back));
  EXPECT_EQ(back, 42);
}

TEST_P(MemoryTest, RefusesWhatIsNotThereWithBothNumbers) {
  const size_t available = backend->available_bytes();
  EXPECT_GT(available, size_t{1} << 20);
  const size_t wanted = available + (size_t{1} << 40);
  try {
    backend->allocate(wanted);
    FAIL() << "allocated " << wanted;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::kInternal) << "the machine's limit, not invalid input";
    EXPECT_NE(std::string(error.what()).find(std::to_string(wanted)), std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("available"), std::string::npos) << error.what();
  }
}

TEST_P(MemoryTest, DescribesItself) { EXPECT_FALSE(backend->description().empty()); }

VITRINE_FOR_EACH_BACKEND(MemoryTest);

TEST(CpuBackendTest, SaysItsThreadsAndRefusesANegativeCount) {
  EXPECT_NE(make_cpu_backend({.threads = 3})->description().find("3 threads"), std::string::npos);
  EXPECT_NE(make_cpu_backend({.threads = 1})->description().find("1 thread)"), std::string::npos);
  EXPECT_THROW(make_cpu_backend({.threads = -1}), Error);
}

}  // namespace
}  // namespace vitrine::testing
