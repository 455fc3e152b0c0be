// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace vitrine::cli {

/// Thrown where work notices that it is to stop; run_program() answers it. Not a std::exception, so
/// that no handler of errors takes it for one.
struct Interrupted {};

/// From here on Ctrl-C (SIGINT), SIGTERM and SIGHUP end the program in order: the work notices and
/// unwinds. A second signal, or 0.2 s without an end, ends it from a second thread by
/// end_interrupted(). A signal that is ignored at the start stays ignored. SIGBUS, which a mapped
/// file that became shorter raises, ends it by end_lost_file(). To be called once.
void obey_signals();

bool interrupted();
/// Throws Interrupted after one of the signals.
void stop_if_interrupted();

/// What an interruption prints on stderr: how to go on. Replaces an earlier one.
void set_interruption_note(std::string note);

/// Removes unfinished files, prints the note and the profile, and ends the program by the signal.
[[noreturn]] void end_interrupted();

}  // namespace vitrine::cli
