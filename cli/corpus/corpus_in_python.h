// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cli/core/capture_args.h"
#include "cli/core/context.h"
#include "cli/core/corpus_args.h"
#include "vitrine/hook_file.h"

namespace vitrine::cli {
using namespace internal;

/// What of `vitrine corpus` runs in Python: a cluster of Ray, and the folder that SAELens reads.
struct InPythonArgs {
  std::string ray, to;
  int64_t parts = 64;
  std::vector<int> actors = {};
  double cpus = 0, gpus = -1;  ///< 0, -1: not given
};

/// --ray, --parts, --actors, --cpus, --gpus, --to. After all other options of the command, because
/// --ray and --to exclude what they do not hand on.
void add_in_python_options(Command& command, InPythonArgs& args);

/// For --ray. Throws Error (user) for what actors cannot read.
[[noreturn]] void capture_on_ray(const Context& context, const InPythonArgs& args,
                                 const CorpusArgs& corpus, const HookFile& hooks,
                                 const std::string& out, int64_t shard_tokens,
                                 int64_t batch_tokens);
/// For --to: the capture in the folder that `corpus` names, as SAELens reads it.
[[noreturn]] void convert_capture(const Context& context, const InPythonArgs& args,
                                  const CorpusArgs& corpus, const CaptureArgs& capture);

}  // namespace vitrine::cli
