// SPDX-License-Identifier: MIT
// The compiled kernels, looked at without a GPU: nothing spilled, no arrays in local memory, wide
// loads and tensor-core instructions where the source counts on them, in the order that it counts
// on.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {
namespace {

namespace fs = std::filesystem;

const fs::path kReports = VITRINE_CUDA_REPORTS;

struct Kernel {
  std::string name;                             ///< mangled
  int stack = -1, spills = -1, registers = -1;  ///< bytes, bytes, count
};

/// What `ptxas -v` said of each kernel of a file.
std::vector<Kernel> read_report(const fs::path& path) {
  static const std::regex kEntry("Compiling entry function '([^']+)'"),
      kMemory(R"((\d+) bytes stack frame, (\d+) bytes spill stores)"),
      kUsed(R"(Used (\d+) registers)");
  std::ifstream in(path);
  std::vector<Kernel> kernels;
  std::string line;
  std::smatch found;
  while (std::getline(in, line)) {
    if (std::regex_search(line, found, kEntry)) kernels.push_back({found[1]});
    if (kernels.empty()) continue;
    Kernel& kernel = kernels.back();
    if (std::regex_search(line, found, kMemory))
      kernel.stack = std::stoi(found[1]), kernel.spills = std::stoi(found[2]);
    if (std::regex_search(line, found, kUsed)) kernel.registers = std::stoi(found[1]);
  }
  return kernels;
}

std::vector<fs::path> files(const std::string& ending) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(kReports)) {
    if (entry.path().filename().string().ends_with(ending)) found.push_back(entry.path());
  }
  return found;
}

/// Bytes that a kernel may spill, with its reason; 0 for all others. `float` is an f in a mangled
/// name.
int allowed_spills(const std::string& file, const std::string& kernel) {
  // GPT-Neo's windows keep one more bound in loops whose registers GPT-2's own kernels fill.
  if (kernel.find("_windows") != std::string::npos) return 128;
  // Three TF32 products for one take twice the operands: at 255 registers a few numbers that never
  // change in the loop are left over.
  const bool prompts_in_float =
      file.starts_with("attention_many") && kernel.find("attendIf") != std::string::npos;
  const bool wide_gradients_in_float = file.starts_with("attention_backward") &&
                                       kernel.find("differentiateIfLi128") != std::string::npos;
  return prompts_in_float ? 72 : wide_gradients_in_float ? 48 : 0;
}

TEST(CudaCode, NoKernelSpillsOrKeepsArraysInLocalMemory) {
  const std::vector<fs::path> reports = files(".txt");
  if (reports.empty()) GTEST_SKIP() << "the CUDA code was compiled neither for sm_80 nor sm_90a";
  for (const fs::path& report : reports) {
    const std::vector<Kernel> kernels = read_report(report);
    EXPECT_FALSE(kernels.empty()) << report << " names no kernel";
    for (const Kernel& kernel : kernels) {
      const int allowed = allowed_spills(report.filename().string(), kernel.name);
      EXPECT_LE(kernel.stack, allowed) << kernel.name << " in " << report.filename();
      EXPECT_LE(kernel.spills, allowed) << kernel.name << " in " << report.filename();
      EXPECT_GT(kernel.registers, 0) << kernel.name << " in " << report.filename();
    }
  }
}

TEST(CudaCode, WarpGroupProductsAreNotSerialised) {
  for (const fs::path& report : files(".txt")) {
    std::ifstream in(report);
    std::stringstream text;
    text << in.rdbuf();
    EXPECT_EQ(text.str().find("wgmma.mma_async instructions are serialized"), std::string::npos)
        << report.filename();
  }
}

/// The machine code of each kernel of a file, NAME.ARCHITECTURE.sass.
std::map<std::string, std::string> machine_code(const fs::path& file) {
  std::ifstream in(file);
  std::map<std::string, std::string> code;
  std::string* kernel = nullptr;
  for (std::string line; std::getline(in, line);) {
    const size_t name = line.find("Function : ");
    if (name != std::string::npos)
      kernel = &code[line.substr(name + 11)];
    else if (kernel != nullptr)
      *kernel += line + '\n';
  }
  return code;
}

/// Skips the test where machine code cannot be read or was not made.
#define VITRINE_NEEDS_CODE(file)                                             \
  if (std::string(VITRINE_CUOBJDUMP).empty())                                \
    GTEST_SKIP() << "cuobjdump was not found when the build was configured"; \
  if (!fs::exists(kReports / (file)))                                        \
  GTEST_SKIP() << "the CUDA code was not compiled for the target of " << (file)

/// The instructions of a kernel, in order, without operands: "LDG.E.128" of a line
/// "/*0a30*/  @!P0 LDG.E.128 R4, [R2] ;".
std::vector<std::string> instructions(const std::string& code) {
  constexpr std::string_view kMnemonic = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
  std::vector<std::string> found;
  std::istringstream lines(code);
  for (std::string line; std::getline(lines, line);) {
    const size_t address = line.find_first_not_of(' '), end = line.find("*/");
    if (address == std::string::npos || line.compare(address, 2, "/*") != 0) continue;
    if (end == std::string::npos || end < address + 2 + 4) continue;
    size_t begin = line.find_first_not_of(' ', end + 2);
    if (begin != std::string::npos && line[begin] == '@')  // a guard
      begin = line.find_first_not_of(' ', line.find(' ', begin));
    if (begin == std::string::npos || std::isupper(static_cast<unsigned char>(line[begin])) == 0)
      continue;
    found.push_back(line.substr(begin, line.find_first_not_of(kMnemonic, begin) - begin));
  }
  return found;
}

/// The index of the first from `begin` on that begins with `name`; their number if there is none.
size_t first_of(const std::vector<std::string>& all, const std::string& name, size_t begin = 0) {
  while (begin < all.size() && !all[begin].starts_with(name)) ++begin;
  return begin;
}

/// The index of the last that begins with `name`; their number if there is none.
size_t last_of(const std::vector<std::string>& all, const std::string& name) {
  size_t found = all.size();
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].starts_with(name)) found = i;
  }
  return found;
}

/// How many bytes a lane loads from global memory in [begin, end) by loads of 8 or 16.
int wide_bytes(const std::vector<std::string>& all, size_t begin, size_t end) {
  int bytes = 0;
  for (size_t i = begin; i < end; ++i) {
    if (!all[i].starts_with("LDG.")) continue;
    bytes += all[i].find(".128") != std::string::npos  ? 16
             : all[i].find(".64") != std::string::npos ? 8
                                                       : 0;
  }
  return bytes;
}

constexpr int kBytesOfPart = 8 * 16;  // a lane's, of the weights or of a row
// What griddepcontrol.wait and .launch_dependents become.
const char *const kWait = "ACQBULK", *const kTrigger = "PREEXIT";
// linear_few_rows' kernels by where they read x, as enumerators in a mangled name.
const char *const kXInMemory = "SourceE1", *const kXInSharedMemory = "SourceE2";

// The kernels of decoding have their weights under way before the previous kernel has ended, and
// then ask for their rows: all at once, by copies to shared memory or straight. The
// next kernel may load its own weights while this one waits.
TEST(CudaCode, DecodingLoadsAheadAndAtOnce) {
  const std::string file = "linear_few_rows.sm_90a.sass";
  VITRINE_NEEDS_CODE(file);
  int straight = 0, copied = 0;
  for (const auto& [name, code] : machine_code(kReports / file)) {
    const bool copies = name.find(kXInSharedMemory) != std::string::npos;
    if (!copies && name.find(kXInMemory) == std::string::npos) continue;
    (copies ? copied : straight) += 1;
    const std::vector<std::string> all = instructions(code);
    const size_t wait = first_of(all, kWait), product = first_of(all, "HMMA", wait);
    ASSERT_LT(wait, all.size()) << name << " does not wait";
    EXPECT_LT(first_of(all, kTrigger), wait) << name;
    EXPECT_EQ(wide_bytes(all, 0, wait), kBytesOfPart) << name;
    if (copies)
      EXPECT_LT(first_of(all, "LDGSTS", wait), product) << name;
    else
      EXPECT_GE(wide_bytes(all, wait, product), kBytesOfPart) << name;
  }
  EXPECT_GT(straight, 0);
  EXPECT_GT(copied, 0);
}

// A decoded token's attention copies the cache's older keys and values while the previous kernel
// runs; its queries and new keys and values come after the wait, together.
TEST(CudaCode, DecodingCopiesTheCacheAhead) {
  const std::string file = "attention_few.sm_90a.sass";
  VITRINE_NEEDS_CODE(file);
  for (const auto& [name, code] : machine_code(kReports / file)) {
    const std::vector<std::string> all = instructions(code);
    const size_t wait = last_of(all, kWait), product = first_of(all, "HMMA");
    ASSERT_LT(wait, product) << name << " does not wait";
    EXPECT_LT(first_of(all, kTrigger), wait) << name;
    EXPECT_LT(first_of(all, "LDGSTS"), wait) << name;
    EXPECT_LT(last_of(all, "LDGSTS"), wait) << name;
    EXPECT_LE(wide_bytes(all, 0, wait), 6 * 8) << name << " loads more than its sequence's numbers";
  }
}

// 24 warps of an SM: two blocks of the largest size.
TEST(CudaCode, DecodingTakesFewRegisters) {
  int kernels = 0;
  for (const fs::path& report : files(".txt")) {
    if (!report.filename().string().starts_with("linear_few_rows")) continue;
    for (const Kernel& kernel : read_report(report)) {
      if (kernel.name.find(kXInSharedMemory) == std::string::npos) continue;
      ++kernels;
      EXPECT_LE(kernel.registers, 80) << kernel.name << " in " << report.filename();
    }
  }
  if (kernels == 0) GTEST_SKIP() << "the CUDA code was compiled neither for sm_80 nor sm_90a";
}

// Between the products of one step, and from step to step, the tensor cores wait for little else.
TEST(CudaCode, HopperMultipliesInAShortLoopAndCopiesWeightsAhead) {
  const std::string file = "linear_hopper.sm_90a.sass";
  VITRINE_NEEDS_CODE(file);
  constexpr int kProductsOfStep = 4;
  constexpr size_t kMostOfStep = 64;  // instructions
  for (const auto& [name, code] : machine_code(kReports / file)) {
    const std::vector<std::string> all = instructions(code);
    const auto is_product = [](const std::string& i) { return i.starts_with("HGMMA"); };
    EXPECT_EQ(std::count_if(all.begin(), all.end(), is_product), kProductsOfStep) << name;
    const size_t first = first_of(all, "HGMMA"), waited = first_of(all, "WARPGROUP.DEPBAR", first);
    EXPECT_LE(waited - first, kMostOfStep) << name;
    EXPECT_LT(first_of(all, "UTMALDG"), first_of(all, kWait)) << name;
  }
}

// Blocks of a cluster wait for each other before one copies to the other's memory, and before
// either ends; giving a slot back to the other costs no fence.
TEST(CudaCode, HopperSharesOperandsBetweenBarriersOfTheCluster) {
  const std::string file = "linear_hopper.sm_90a.sass";
  VITRINE_NEEDS_CODE(file);
  int kernels = 0;
  for (const auto& [name, code] : machine_code(kReports / file)) {
    ++kernels;
    const std::vector<std::string> all = instructions(code);
    const auto is_shared = [](const std::string& i) {
      return i.starts_with("UTMALDG") && i.ends_with(".MULTICAST");
    };
    const size_t begun = first_of(all, "UCGABAR_WAIT"),
                 ended = first_of(all, "UCGABAR_WAIT", begun + 1);
    ASSERT_LT(ended, first_of(all, "EXIT")) << name;
    EXPECT_LT(begun, first_of(all, "UTMALDG")) << name;
    EXPECT_TRUE(std::any_of(all.begin() + static_cast<std::ptrdiff_t>(first_of(all, kWait)),
                            all.begin() + static_cast<std::ptrdiff_t>(ended), is_shared))
        << name;
    EXPECT_GE(first_of(all, "MEMBAR", begun), ended) << name;
  }
  EXPECT_EQ(kernels, 2 * 6);  // types and widths
}

// A load through the path of constant memory may be moved over the wait by the assembler; and an
// IEEE division calls a slow path, which keeps elements from being computed side by side.
TEST(CudaCode, NoConstantLoadsAnywhereAndNoCallsInProducts) {
  const std::vector<fs::path> objects = files(".sm_90a.sass");
  if (objects.empty())
    GTEST_SKIP() << "the CUDA code was not compiled for sm_90a, or cuobjdump was not found";
  for (const fs::path& object : objects) {
    const std::string file = object.filename().string();
    const bool linear = file.starts_with("linear_");
    for (const auto& [name, code] : machine_code(object)) {
      const std::vector<std::string> all = instructions(code);
      for (const std::string& instruction : all) {
        if (instruction.starts_with("LDG.")) {
          EXPECT_EQ(instruction.find("CONSTANT"), std::string::npos) << name;
        }
      }
      // A layernorm divides once a row, and attention finds a block's tile by whole numbers, before
      // the products.
      const bool divides_before = !linear || name.find(kXInSharedMemory) != std::string::npos;
      if (linear || file.starts_with("attention_")) {
        const size_t from = divides_before ? first_of(all, "HMMA") : 0;
        EXPECT_EQ(first_of(all, "CALL", from), all.size()) << name;
      }
    }
  }
}

int count(const std::vector<std::string>& all, const std::string& name, const std::string& part) {
  return static_cast<int>(std::count_if(all.begin(), all.end(), [&](const std::string& one) {
    return one.starts_with(name) && one.find(part) != std::string::npos;
  }));
}

// In 16 bits and heads of 64, 16 bytes of keys or values from shared memory are used in four tensor
// instructions; the scan of a masked tile reads them once more.
TEST(CudaCode, AttentionOverPromptsReadsKeysAndValuesForTwoProducts) {
  for (const std::string file : {"attention_many.sm_80.sass", "attention_many.sm_90a.sass"}) {
    VITRINE_NEEDS_CODE(file);
    int kernels = 0;
    for (const auto& [name, code] : machine_code(kReports / file)) {
      if (name.find("ELi64E") == std::string::npos || name.find("IfLi") != std::string::npos)
        continue;
      ++kernels;
      const std::vector<std::string> all = instructions(code);
      EXPECT_GE(2 * count(all, "HMMA", ""), 5 * count(all, "LDS", ".128")) << name;
      EXPECT_GE(count(all, "MUFU", "EX2"), 2 * 32) << name;
    }
    EXPECT_EQ(kernels, 2) << file;
  }
}

// Two blocks of 256 threads share an SM. A tile of 64 keys is two products of four instructions, in
// a loop over tiles that all queries see and in one over the others; and what the copies brought is
// made visible to them before the block's barrier.
TEST(CudaCode, HopperAttentionMultipliesInGroupsAndFitsTwiceOnAnSm) {
  const std::string file = "attention_hopper.sm_90a.sass";
  VITRINE_NEEDS_CODE(file);
  for (const Kernel& kernel : read_report(kReports / "attention_hopper.sm_90a.txt"))
    EXPECT_LE(kernel.registers, 128) << kernel.name;
  for (const auto& [name, code] : machine_code(kReports / file)) {
    const std::vector<std::string> all = instructions(code);
    EXPECT_EQ(count(all, "HGMMA", ""), 2 * 2 * 4) << name;
    const size_t fence = first_of(all, "FENCE.VIEW.ASYNC"), product = first_of(all, "HGMMA");
    EXPECT_LT(first_of(all, kWait), first_of(all, "LDGSTS")) << name;
    EXPECT_LT(fence, first_of(all, "BAR", fence)) << name;
    EXPECT_LT(first_of(all, "BAR", fence), product) << name;
  }
}

struct Promise {
  std::string file;    ///< NAME.ARCHITECTURE.sass
  std::string kernel;  ///< part of its name
  std::vector<std::string> instructions;
};

class CudaCodePromises : public ::testing::TestWithParam<Promise> {};

TEST_P(CudaCodePromises, AreKept) {
  const Promise& promise = GetParam();
  VITRINE_NEEDS_CODE(promise.file);
  int kernels = 0;
  for (const auto& [name, code] : machine_code(kReports / promise.file)) {
    if (name.find(promise.kernel) == std::string::npos) continue;
    ++kernels;
    const std::vector<std::string> all = instructions(code);
    const std::set<std::string> used(all.begin(), all.end());
    for (const std::string& instruction : promise.instructions) {
      const std::regex wanted(instruction);
      EXPECT_TRUE(std::any_of(used.begin(), used.end(),
                              [&](const std::string& i) { return std::regex_search(i, wanted); }))
          << name << " has no " << instruction;
    }
    if (allowed_spills(promise.file, name) > 0) continue;
    EXPECT_TRUE(std::none_of(
        used.begin(), used.end(),
        [](const std::string& i) { return i.starts_with("LDL") || i.starts_with("STL"); }))
        << name << " uses local memory";
  }
  EXPECT_GT(kernels, 0) << promise.file << " has no kernel " << promise.kernel;
}

std::vector<Promise> promises() {
  const std::string wide_load = R"(LDG\.E(\.\w+)*\.128)", wide_store = R"(STG\.E(\.\w+)*\.128)",
                    wide_copy = R"(LDGSTS\.E(\.\w+)*\.128)", wide_shared = R"(LDS(\.\w+)*\.128)",
                    share_shared = R"(LDS(\.\w+)*\.64)",
                    crosswise = R"(LDSM(\.\w+)*\.MT88(\.\w+)*\.4)";
  std::vector<Promise> list;
  for (const std::string architecture : {"sm_80", "sm_90a"}) {
    // The instantiations for aligned rows: Lb1 is `true` in a mangled name.
    list.push_back({"linear_few_rows." + architecture + ".sass", kXInMemory, {wide_load, "HMMA"}});
    list.push_back({"linear_few_rows." + architecture + ".sass",
                    kXInSharedMemory,
                    {wide_load, wide_copy, share_shared, "HMMA"}});
    list.push_back({"linear_many_rows." + architecture + ".sass",
                    "Lb1EEE",
                    {wide_copy, share_shared, "HMMA"}});
    list.push_back({"attention_few." + architecture + ".sass", "attend", {wide_copy, "HMMA"}});
    list.push_back(
        {"attention_many." + architecture + ".sass", "Bf16", {wide_copy, wide_shared, "HMMA"}});
    list.push_back(
        {"linear_backward." + architecture + ".sass", "Lb1EEE", {wide_copy, share_shared, "HMMA"}});
    list.push_back({"linear_backward." + architecture + ".sass",
                    "crosswiseINS0_4cuda4Bf16",
                    {crosswise, "HMMA"}});
    list.push_back({"attention_backward_keys." + architecture + ".sass",
                    "Bf16",
                    {wide_copy, wide_shared, crosswise, "HMMA"}});
    list.push_back({"attention_backward_queries." + architecture + ".sass",
                    "Bf16",
                    {wide_copy, wide_shared, crosswise, "HMMA"}});
    for (const std::string file : {"attention_maps.", "attention_backward_maps."})
      list.push_back({file + architecture + ".sass", "write", {wide_load, wide_store, "HMMA"}});
    list.push_back({"norm_layernorm_backward." + architecture + ".sass", "layernorm", {wide_load}});
    list.push_back({"norm_layernorm." + architecture + ".sass", "layernorm", {wide_load}});
    list.push_back({"logits_sample." + architecture + ".sass", "sample_rows", {"REDUX", "ATOM"}});
  }
  list.push_back({"linear_hopper.sm_90a.sass", "", {"HGMMA", "UTMALDG", "SYNCS"}});
  list.push_back({"attention_hopper.sm_90a.sass", "attend", {"HGMMA", "LDGSTS", R"(MUFU\.EX2)"}});
  return list;
}

INSTANTIATE_TEST_SUITE_P(Kernels, CudaCodePromises, ::testing::ValuesIn(promises()),
                         [](const auto& promise) {
                           std::string name = promise.param.file + "_" + promise.param.kernel;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace vitrine
