// SPDX-License-Identifier: MIT
#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "tests/cuda_on_host/block_runner.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

// The threads of one cluster of blocks as fibers of one CPU thread.

namespace vitrine::internal::cuda_on_host {
namespace {

namespace fiber = boost::context::detail;

constexpr size_t kStackBytes = 256 * 1024;
constexpr int kLanes = 32;

// Stacks begin at different places of a page: at the same one, those of a block's fibers would push
// each other out of the processor's caches.
constexpr size_t kPlacesOfStacks = 64, kBytesBetweenPlaces = 64;

// The address sanitizer follows a fiber to the scheduler and back, not from lane to lane.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kLanesHandOver = false;
#else
constexpr bool kLanesHandOver = true;
#endif

enum class State {
  kReady,
  kAtWarpBarrier,
  kAtBlockBarrier,
  kAtClusterBarrier,
  kWaiting,
  kStandingBack,
  kDone
};

struct PendingCopy {
  void* to;
  const void* from;
  size_t bytes, size;
  int group;
};

struct Fiber {
  std::unique_ptr<std::byte[]> stack;
  fiber::fcontext_t context = nullptr;
  Place place;
  State state = State::kReady;
  std::vector<PendingCopy> copies;
  int group = 0;
  Products products;
  const std::function<bool()>* ready = nullptr;  // what a waiting fiber waits for
  void* sanitizer_stack = nullptr;
};

struct Warp {
  int arrived = 0, live = 0;
  int turn = 0;
  alignas(64) std::byte slots[2][kLanes * kLargestExchange];
};

/// A block's shared memory has exactly the requested size, so that the address sanitizer detects
/// accesses beyond it.
struct SharedMemory {
  explicit SharedMemory(size_t bytes)
      : data(static_cast<std::byte*>(::operator new(std::max<size_t>(bytes, 1), kAlignment))) {}
  ~SharedMemory() { ::operator delete(data, kAlignment); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  static constexpr std::align_val_t kAlignment{1024};
  std::byte* const data;
};

/// Runs blocks; one for the program, because only one cluster runs at any time.
class Runner {
 public:
  void run(const Shape& shape, const std::function<void()>& thread, LaneOrder order);

  Fiber& current() { return *fibers_[running_]; }
  Warp& warp() { return *warps_[running_ / kLanes]; }
  std::byte* shared(int rank) { return shared_[static_cast<size_t>(rank)]->data; }
  bool block_lives(int rank) const;
  void barrier(State state);
  void wait_until(const std::function<bool()>& ready);
  void stand_back();
  void when_idle(std::function<void()> work) { idle_work_.push_back(std::move(work)); }
  bool products_see_all_copies() const {
    return std::all_of(fibers_.begin(), fibers_.begin() + static_cast<std::ptrdiff_t>(count_),
                       [](const auto& fiber) { return fiber->products.sees_copies; });
  }

 private:
  static void enter(fiber::transfer_t from);
  void prepare(const Shape& shape, unsigned first_block);
  void prepare_thread(size_t index, const Shape& shape, uint3 block, int rank);
  void run_cluster();
  bool run_ready();
  bool wake_who_stood_back();
  bool run_idle_work();
  bool release(State barrier, size_t begin, size_t end);
  bool release_barriers();
  void stop_stuck();
  void resume(size_t index);
  void give_way(bool last);
  bool hand_over();
  void begin(size_t index);
  size_t place_in_order(size_t index) const {
    return order_ == LaneOrder::kAscending ? index % kLanes : kLanes - 1 - index % kLanes;
  }

  const std::function<void()>* thread_ = nullptr;
  LaneOrder order_ = LaneOrder::kAscending;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<std::unique_ptr<Warp>> warps_;
  std::deque<std::function<void()>> idle_work_;
  std::vector<std::unique_ptr<SharedMemory>> shared_;  // of each block of the cluster
  size_t count_ = 0, in_block_ = 0, live_ = 0, running_ = 0;
  fiber::fcontext_t scheduler_ = nullptr;
  [[maybe_unused]] void* scheduler_sanitizer_stack_ = nullptr;
  [[maybe_unused]] const void* scheduler_bottom_ = nullptr;
  [[maybe_unused]] size_t scheduler_bytes_ = 0;
};

Runner running;  // not inside a function, which would ask each time whether it exists
Runner& runner() { return running; }

/// Goes on at `to`; `from` becomes where whoever comes back goes on.
void jump(fiber::fcontext_t to, fiber::fcontext_t& from) {
  const fiber::transfer_t back = fiber::jump_fcontext(to, &from);
  *static_cast<fiber::fcontext_t*>(back.data) = back.fctx;
}

void Runner::enter(fiber::transfer_t from) {
  *static_cast<fiber::fcontext_t*>(from.data) = from.fctx;
  Runner& self = runner();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self.scheduler_bottom_, &self.scheduler_bytes_);
#endif
  (*self.thread_)();
  if (!self.current().copies.empty()) stop("a thread ended with copies that it never waited for");
  if (!self.current().products.pending.empty())
    stop("a thread ended with products that it never waited for");
  self.current().state = State::kDone;
  --self.live_;
  --self.warp().live;
  self.give_way(true);
}

void Runner::begin(size_t index) {
  running_ = index;
  running_place = &fibers_[index]->place;
}

/// If the next lane of the warp is ready, it runs at once, as it would after the scheduler: half of
/// all jumps are saved. False if it is not.
bool Runner::hand_over() {
  const size_t own = running_;
  if (!kLanesHandOver || place_in_order(own) == kLanes - 1) return false;
  const size_t next = order_ == LaneOrder::kAscending ? own + 1 : own - 1;
  if (fibers_[next]->state != State::kReady) return false;
  begin(next);
  jump(fibers_[next]->context, fibers_[own]->context);
  return true;
}

void Runner::give_way(bool last) {
  if (hand_over()) return;
  Fiber& own = *fibers_[running_];
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(last ? nullptr : &own.sanitizer_stack, scheduler_bottom_,
                                 scheduler_bytes_);
#else
  static_cast<void>(last);
#endif
  jump(scheduler_, own.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(own.sanitizer_stack, &scheduler_bottom_, &scheduler_bytes_);
#endif
}

void Runner::resume(size_t index) {
  begin(index);
  Fiber& fiber = *fibers_[index];
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_sanitizer_stack_, fiber.stack.get(), kStackBytes);
#endif
  jump(fiber.context, scheduler_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_sanitizer_stack_, nullptr, nullptr);
#endif
}

void Runner::barrier(State state) {
  if (state == State::kAtWarpBarrier) {
    Warp& warp = this->warp();
    if (warp.live < kLanes) stop("a warp acts together after some of its lanes have ended");
    if (++warp.arrived == kLanes) {
      warp.arrived = 0;
      warp.turn ^= 1;
      const size_t first = running_ / kLanes * kLanes;
      for (size_t i = first; i < first + kLanes; ++i) {
        if (i != running_ && fibers_[i]->state != State::kAtWarpBarrier)
          stop("lanes of a warp wait for different things");
        fibers_[i]->state = State::kReady;
      }
      // The last lane to arrive goes back into the row, so that the order of the lanes is the same
      // after each barrier.
      give_way(false);
      return;
    }
  }
  current().state = state;
  give_way(false);
}

void Runner::wait_until(const std::function<bool()>& ready) {
  if (ready()) return;
  current().ready = &ready;
  current().state = State::kWaiting;
  give_way(false);
}

void Runner::stand_back() {
  current().state = State::kStandingBack;
  give_way(false);
}

bool Runner::block_lives(int rank) const {
  if (static_cast<size_t>(rank) >= count_ / in_block_) return false;
  const auto begin = fibers_.begin() + rank * static_cast<std::ptrdiff_t>(in_block_);
  return std::any_of(begin, begin + static_cast<std::ptrdiff_t>(in_block_),
                     [](const auto& f) { return f->state != State::kDone; });
}

void Runner::prepare(const Shape& shape, unsigned first_block) {
  in_block_ = static_cast<size_t>(shape.block.x) * shape.block.y * shape.block.z;
  if (shape.block.y != 1 || shape.block.z != 1 || in_block_ % kLanes != 0)
    stop("blocks are rows of whole warps");
  if (shape.grid.x % shape.cluster != 0) stop("a grid that is not a row of whole clusters");
  count_ = live_ = in_block_ * shape.cluster;
  while (fibers_.size() < count_) {
    fibers_.push_back(std::make_unique<Fiber>());
    fibers_.back()->stack.reset(new std::byte[kStackBytes]);
  }
  while (warps_.size() < count_ / kLanes) warps_.push_back(std::make_unique<Warp>());
  for (unsigned rank = 0; rank < shape.cluster; ++rank) {
    const unsigned i = first_block + rank;
    const uint3 block{i % shape.grid.x, i / shape.grid.x % shape.grid.y,
                      i / (shape.grid.x * shape.grid.y)};
    std::memset(shared(static_cast<int>(rank)), 0xff, shape.shared);
    for (size_t t = 0; t < in_block_; ++t)
      prepare_thread(rank * in_block_ + t, shape, block, static_cast<int>(rank));
  }
}

void Runner::prepare_thread(size_t index, const Shape& shape, uint3 block, int rank) {
  Fiber& f = *fibers_[index];
  const size_t unused = index % kPlacesOfStacks * kBytesBetweenPlaces, bytes = kStackBytes - unused;
  f.context = fiber::make_fcontext(f.stack.get() + bytes, bytes, enter);
  f.place = {
      {static_cast<unsigned>(index % in_block_), 0, 0}, block, shape.block, shape.grid, rank};
  f.state = State::kReady;
  f.copies.clear();
  f.group = 0;
  f.products = {};
  f.sanitizer_stack = nullptr;
  Warp& w = *warps_[index / kLanes];
  w.arrived = w.turn = 0;
  w.live = kLanes;
}

bool Runner::run_ready() {
  bool any = false;
  for (size_t i = 0; i < count_; ++i) {
    const size_t warp = i / kLanes, lane = i % kLanes, warps = count_ / kLanes;
    if (lane != 0) continue;
    const size_t first = (order_ == LaneOrder::kAscending ? warp : warps - 1 - warp) * kLanes;
    for (bool again = true; again;) {  // a warp runs on as long as it waits only for itself
      again = false;
      for (size_t j = 0; j < kLanes; ++j) {
        const size_t index = first + (order_ == LaneOrder::kAscending ? j : kLanes - 1 - j);
        Fiber& fiber = *fibers_[index];
        if (fiber.state == State::kWaiting && (*fiber.ready)()) fiber.state = State::kReady;
        if (fiber.state != State::kReady) continue;
        resume(index);
        j = place_in_order(running_);  // of the last lane that has run
        any = again = true;
      }
    }
  }
  return any;
}

bool Runner::wake_who_stood_back() {
  bool any = false;
  for (size_t i = 0; i < count_; ++i) {
    if (fibers_[i]->state != State::kStandingBack) continue;
    fibers_[i]->state = State::kReady;
    any = true;
  }
  return any;
}

bool Runner::run_idle_work() {
  if (idle_work_.empty()) return false;
  if (order_ == LaneOrder::kDescending) std::swap(idle_work_.front(), idle_work_.back());
  const std::function<void()> work = std::move(idle_work_.front());
  idle_work_.pop_front();
  work();
  return true;
}

/// If all threads of a range that have not ended have reached a barrier, they go on.
bool Runner::release(State barrier, size_t begin, size_t end) {
  const auto first = fibers_.begin() + static_cast<std::ptrdiff_t>(begin),
             last = fibers_.begin() + static_cast<std::ptrdiff_t>(end);
  if (!std::all_of(first, last,
                   [=](const auto& f) { return f->state == barrier || f->state == State::kDone; }))
    return false;
  bool any = false;
  for (auto f = first; f != last; ++f) {
    if ((*f)->state != barrier) continue;
    (*f)->state = State::kReady;
    any = true;
  }
  return any;
}

bool Runner::release_barriers() {
  bool any = release(State::kAtClusterBarrier, 0, count_);
  for (size_t begin = 0; begin < count_; begin += in_block_)
    any = release(State::kAtBlockBarrier, begin, begin + in_block_) || any;
  return any;
}

void Runner::stop_stuck() {
  const auto any = [&](State state) {
    return std::any_of(fibers_.begin(), fibers_.begin() + static_cast<std::ptrdiff_t>(count_),
                       [=](const auto& f) { return f->state == state; });
  };
  if (any(State::kAtWarpBarrier)) stop("some lanes of a warp never reach what the others wait for");
  if (any(State::kWaiting)) stop("a thread waits for a phase of a barrier that never ends");
  stop("threads wait at a barrier of a block and others at one of the cluster");
}

void Runner::run_cluster() {
  while (live_ > 0) {
    if (!run_ready() && !wake_who_stood_back() && !run_idle_work() && !release_barriers())
      stop_stuck();
  }
  if (!idle_work_.empty()) stop("a block ended before the tiles that it requested arrived");
}

void Runner::run(const Shape& shape, const std::function<void()>& thread, LaneOrder order) {
  thread_ = &thread;
  order_ = order;
  const unsigned clusters = shape.grid.x * shape.grid.y * shape.grid.z / shape.cluster;
  for (unsigned rank = 0; rank < shape.cluster; ++rank)
    shared_.push_back(std::make_unique<SharedMemory>(shape.shared));
  for (unsigned n = 0; n < clusters; ++n) {
    prepare(shape, (order == LaneOrder::kAscending ? n : clusters - 1 - n) * shape.cluster);
    run_cluster();
  }
  shared_.clear();
}

}  // namespace

[[noreturn]] void stop(const char* what) {
  std::fprintf(stderr, "cuda_on_host: %s\n", what);
  std::abort();
}

namespace {
thread_local const TensorCore* running_core = nullptr;
}  // namespace

void run_blocks(const Shape& shape, const std::function<void()>& thread, LaneOrder order,
                const TensorCore& core) {
  running_core = &core;
  runner().run(shape, thread, order);
}
const TensorCore& tensor_core() { return *running_core; }

std::byte* shared_memory() { return runner().shared(place().cluster_rank); }
void check_block(int rank) {
  if (!runner().block_lives(rank))
    stop("an access to a block that the cluster does not have, or that has ended");
}
std::byte* in_block(int rank, const void* at) {
  check_block(rank);
  return runner().shared(rank) + (static_cast<const std::byte*>(at) - shared_memory());
}
void cluster_barrier() { runner().barrier(State::kAtClusterBarrier); }
void block_barrier() { runner().barrier(State::kAtBlockBarrier); }
void warp_barrier() { runner().barrier(State::kAtWarpBarrier); }
void wait_until(const std::function<bool()>& ready) { runner().wait_until(ready); }
void stand_back() { runner().stand_back(); }
void when_idle(std::function<void()> work) { runner().when_idle(std::move(work)); }
Products& products() { return runner().current().products; }
bool products_see_all_copies() { return runner().products_see_all_copies(); }
std::byte* exchange_slots() {
  Warp& warp = runner().warp();
  return warp.slots[warp.turn];
}

void copy_async(void* to, const void* from, int bytes, int size) {
  const auto whole = static_cast<size_t>(size);
  if (reinterpret_cast<uintptr_t>(to) % whole != 0 ||
      (bytes > 0 && reinterpret_cast<uintptr_t>(from) % whole != 0)) {
    stop("copy_async of memory that is not aligned to its size");
  }
  std::memset(to, 0xff, whole);
  Fiber& fiber = runner().current();
  fiber.copies.push_back({to, from, static_cast<size_t>(bytes), whole, fiber.group});
}

void copy_async_commit() { ++runner().current().group; }

void copy_async_wait(int pending) {
  Fiber& fiber = runner().current();
  std::erase_if(fiber.copies, [&](const PendingCopy& copy) {
    if (copy.group >= fiber.group - pending) return false;
    std::memset(copy.to, 0, copy.size);
    if (copy.bytes > 0) std::memcpy(copy.to, copy.from, copy.bytes);
    fiber.products.sees_copies = false;
    return true;
  });
}

}  // namespace vitrine::internal::cuda_on_host
