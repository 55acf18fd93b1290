# How the project's own libraries, programs and tests are declared.

add_library(vkmoe_options INTERFACE)
target_compile_options(vkmoe_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align
        -Woverloaded-virtual -Wconversion -Wno-sign-conversion
        -Wno-missing-field-initializers>
    $<$<BOOL:${VKMOE_WERROR}>:-Werror>)

find_program(VKMOE_CCACHE ccache)
if(VKMOE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_C_COMPILER_LAUNCHER "${VKMOE_CCACHE}")
    # Without this sloppiness ccache does not cache sources that use a precompiled header.
    set(CMAKE_CXX_COMPILER_LAUNCHER
        "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros;${VKMOE_CCACHE}")
endif()

set(VKMOE_SANITIZE "" CACHE STRING "Sanitizers to build with, as -fsanitize= takes them: address,undefined")
if(VKMOE_SANITIZE)
    # GCC's flow analysis takes the sanitizers' branches for uses of uninitialized values.
    add_compile_options(-fsanitize=${VKMOE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
        -Wno-maybe-uninitialized)
    add_link_options(-fsanitize=${VKMOE_SANITIZE})
endif()

# Half of the time that a source takes to compile goes into these headers: 1.5 of 3 s with GCC 12. Builds with sanitizers
# do without, so that a header that a source forgot to include is found there. CLI11 is not among them: each source would
# compile its inline functions, 6 s of GCC 12.
set(VKMOE_COMMON_HEADERS <algorithm> <array> <chrono> <functional> <map> <memory> <mutex> <optional> <span> <string>
    <string_view> <thread> <vector> <fmt/format.h>)
set(precompiled ON)
if(VKMOE_SANITIZE)
    set(precompiled OFF)
endif()
option(VKMOE_PRECOMPILED_HEADERS "Precompile the headers that most sources include" ${precompiled})

# vkmoe_precompile(TARGET PRIVATE header...|REUSE_FROM other): target_precompile_headers where it is wanted. The other
# target must be compiled with the same options, and without macros that TARGET lacks.
function(vkmoe_precompile target)
    if(VKMOE_PRECOMPILED_HEADERS)
        target_precompile_headers(${target} ${ARGN})
        target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)  # for ccache
    endif()
endfunction()

# vkmoe_library(FOLDER SOURCES file... LINKS target... [PRIVATE_LINKS target...])
# One folder of src is one static library, vkmoe_FOLDER; it includes files as "folder/file.h".
# LINKS names every folder that it may include from: tests/unit/layering_test.py holds it to that.
function(vkmoe_library folder)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
    add_library(vkmoe_${folder} STATIC ${ARG_SOURCES})
    target_include_directories(vkmoe_${folder} PUBLIC "${CMAKE_SOURCE_DIR}/src")
    target_link_libraries(vkmoe_${folder} PUBLIC ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS} vkmoe_options)
    vkmoe_precompile(vkmoe_${folder} REUSE_FROM vkmoe_headers)
endfunction()
