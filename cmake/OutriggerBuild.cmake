# Language level, warnings, sanitizers, ccache, and the functions that every folder uses:
#
#   outrigger_library(base SOURCES a.cc b.cc DEPS absl::time)     -> target outrigger_base
#   outrigger_test(base_test SOURCES a_test.cc DEPS outrigger_base)
#   outrigger_fuzz_target(head_fuzz SOURCES head_fuzz.cc DEPS outrigger_http1)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

add_library(outrigger_options INTERFACE)
target_include_directories(outrigger_options INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(outrigger_options INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers)
if(OUTRIGGER_WERROR)
  target_compile_options(outrigger_options INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports uses of values it cannot follow through coroutine frames and inlined variants.
  target_compile_options(outrigger_options INTERFACE
    -fcoroutines -Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds
    -Wno-dangling-pointer)
else()
  add_link_options(-fuse-ld=lld)
endif()
if(OUTRIGGER_SANITIZE)
  # Global rather than on the interface target: GoogleTest's main and every object must agree.
  add_compile_options(-fsanitize=${OUTRIGGER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OUTRIGGER_SANITIZE})
endif()

function(outrigger_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(outrigger_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(outrigger_${name} PUBLIC outrigger_options ${ARG_DEPS})
endfunction()

# One executable and one ctest entry for each folder of tests. LABELS picks subsets (ctest -L unit).
function(outrigger_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

function(outrigger_fuzz_target name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
