// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

// What a launcher of parallel jobs says of this process: torchrun, mpirun, srun.

namespace vitrine::cli {

/// Which part of a corpus is this process's.
struct Rank {
  int64_t rank = 0, world = 1;
  std::string source;  ///< origin: "--rank", "RANK", ...; empty: default
};

/// From the variables that a launcher sets; the innermost launcher's come first: RANK and
/// WORLD_SIZE (torchrun), OMPI_COMM_WORLD_RANK and _SIZE (Open MPI), PMI_RANK and PMI_SIZE (MPICH,
/// Intel MPI), SLURM_PROCID and SLURM_NTASKS (srun). Throws Error (user) for values that are no
/// rank in a world. Warns on stderr of a SLURM job of several tasks that runs this one process
/// alone.
Rank rank_from_environment();

/// Which GPU a process uses among those it sees.
struct GpuChoice {
  std::string device;   ///< "cuda:1"
  std::string reason;   ///< "LOCAL_RANK is 1"; with more ranks than GPUs, says so. Empty: no choice
  bool shared = false;  ///< another rank has the same GPU
};

/// `device` is --device. For "cuda" where a launcher numbers the processes of a machine
/// (LOCAL_RANK, OMPI_COMM_WORLD_LOCAL_RANK, MPI_LOCALRANKID, SLURM_LOCALID, the first that is set)
/// and several GPUs are visible: the GPU of that number, modulo their number. Otherwise `device`
/// itself. Throws Error (user) for a variable that is not a number.
GpuChoice choose_gpu(const std::string& device);
/// The device of choose_gpu; says on stderr if it is shared.
std::string device_of_rank(const std::string& device);

}  // namespace vitrine::cli
