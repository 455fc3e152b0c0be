# Installs the library as the CMake package `vitrine` (target vitrine::vitrine), its headers and the command.
