# Optimisation by a profile of what runs (clang only).
#
#   OUTRIGGER_PROFILE=use        lay out and inline code by tools/profile/outrigger.proftext
#   OUTRIGGER_PROFILE=generate   build a program that writes such a profile (tools/profile/train)
#   OUTRIGGER_PROFILE=           neither
#
# The profile names functions with a hash of their control flow. What has changed since, or is not in
# it, is compiled as without one, so an old profile costs speed and nothing else.

set(OUTRIGGER_PROFILE "" CACHE STRING "use, generate, or empty: optimisation by a profile")
set_property(CACHE OUTRIGGER_PROFILE PROPERTY STRINGS "" use generate)

# Functions local to a file are named after it without its folder: the same in every checkout.
set(outrigger_profile_names -mllvm -static-func-full-module-prefix=false)

function(outrigger_use_profile)
  string(REGEX MATCH "^[0-9]+" major "${CMAKE_CXX_COMPILER_VERSION}")
  find_program(OUTRIGGER_LLVM_PROFDATA NAMES llvm-profdata-${major} llvm-profdata)
  set(text "${PROJECT_SOURCE_DIR}/tools/profile/outrigger.proftext")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${text}")
  # Its name says what is in it, so that everything is compiled anew when that changes: objects of two
  # profiles cannot be linked.
  file(SHA256 "${text}" hash)
  string(SUBSTRING "${hash}" 0 12 hash)
  set(profile "${PROJECT_BINARY_DIR}/outrigger-${hash}.profdata")
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang" OR NOT OUTRIGGER_LLVM_PROFDATA)
    message(STATUS "Building without the profile: it takes clang and its llvm-profdata")
    return()
  endif()
  execute_process(COMMAND "${OUTRIGGER_LLVM_PROFDATA}" merge -o "${profile}" "${text}"
                  RESULT_VARIABLE result ERROR_VARIABLE problem)
  if(NOT result EQUAL 0)
    message(STATUS "Building without the profile: ${problem}")
    return()
  endif()
  # Nothing is said about functions that the profile does not know, or knew otherwise.
  add_compile_options("-fprofile-use=${profile}" ${outrigger_profile_names} -Wno-profile-instr-out-of-date
                      -Wno-profile-instr-unprofiled -Wno-backend-plugin)
  # What runs often stands together, and so do the pages that it is in.
  add_link_options(-Wl,-z,keep-text-section-prefix)
endfunction()

if(OUTRIGGER_PROFILE STREQUAL "use")
  outrigger_use_profile()
elseif(OUTRIGGER_PROFILE STREQUAL "generate")
  add_compile_options(-fprofile-generate ${outrigger_profile_names})
  add_link_options(-fprofile-generate)
elseif(OUTRIGGER_PROFILE)
  message(FATAL_ERROR "OUTRIGGER_PROFILE is \"${OUTRIGGER_PROFILE}\", not use, generate or empty")
endif()
