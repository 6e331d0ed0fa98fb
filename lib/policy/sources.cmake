# The built-in kernel feature sets become C strings.
set(features_header ${CMAKE_BINARY_DIR}/generated/policy/features_data.h)
set(features_c "/* Made from lib/policy/features. */\n#pragma once\n")
foreach(release 6.1 6.12)
  set(file ${CMAKE_CURRENT_LIST_DIR}/features/${release})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  string(REPLACE "\n" "\\n\"\n\t\"" text "${text}")
  string(REPLACE "." "_" name ${release})
  string(APPEND features_c "static const char features_${name}[] =\n\t\"${text}\";\n")
endforeach()
file(CONFIGURE OUTPUT ${features_header} CONTENT "${features_c}" @ONLY)

hauberk_layer(policy
  SOURCES base_dir.c blob.c blob_check.c compiler.c compiler_judge.c features.c manifest.c
    manifest_check.c manifest_place.c names.c
    parser_says.c parser_words.c text.c
  LINK hauberk_api)
target_include_directories(hauberk_policy PRIVATE ${CMAKE_BINARY_DIR}/generated)

add_executable(hauberk-sandbox ${CMAKE_CURRENT_LIST_DIR}/sandbox_main.c
  ${CMAKE_CURRENT_LIST_DIR}/sandbox_landlock.c ${CMAKE_CURRENT_LIST_DIR}/sandbox_seccomp.c)
target_link_libraries(hauberk-sandbox PRIVATE hauberk_base PkgConfig::SECCOMP hauberk_warnings)
