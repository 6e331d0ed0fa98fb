# HAUBERK_SANITIZE is a list for -fsanitize=, chosen by a preset.
set(HAUBERK_SANITIZE "" CACHE STRING "sanitizers to build with, for example address,undefined")
if(HAUBERK_SANITIZE)
  add_compile_options(-fsanitize=${HAUBERK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${HAUBERK_SANITIZE})
endif()
