# One entry a parser. With clang and -DHAUBERK_FUZZ=ON an entry is a libFuzzer program; otherwise the
# same entry is linked with a small main that replays files, so that every input that ever crashed
# is a test.
option(HAUBERK_FUZZ "build libFuzzer programs (clang only)" OFF)
if(HAUBERK_FUZZ)
  # All code tells the fuzzer which ways it went, not the entries alone.
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

function(hauberk_fuzz name)
  add_executable(fuzz_${name} ${CMAKE_SOURCE_DIR}/fuzz/fuzz_${name}.c)
  target_link_libraries(fuzz_${name} PRIVATE ${ARGN} hauberk_warnings)
  if(HAUBERK_FUZZ)
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/fuzz/replay.c)
    add_test(NAME fuzz/${name} COMMAND fuzz_${name}
      ${CMAKE_SOURCE_DIR}/fuzz/corpus/${name} ${CMAKE_SOURCE_DIR}/fuzz/regression/${name})
  endif()
endfunction()
