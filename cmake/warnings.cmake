# Warnings are errors, on gcc and clang alike.
add_library(hauberk_warnings INTERFACE)
target_compile_options(hauberk_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
  -Wundef -Wwrite-strings -Wcast-align -Werror)
