# Everything that comes from outside the tree. All of it is packaged by Debian 12 and Ubuntu 24.04; only glslang and
# the Vulkan headers may be too old there, and are then taken from VKMOE_TOOLCHAIN_DIR.

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(URING IMPORTED_TARGET liburing)  # without it, threads read experts from disk

# Looked for anew each time, so that a toolchain that was fetched meanwhile is taken.
find_path(VKMOE_VULKAN_INCLUDE_DIR vulkan/vulkan.h HINTS "${VKMOE_TOOLCHAIN_DIR}/include" NO_CACHE)
find_path(VKMOE_VOLK_INCLUDE_DIR volk.h HINTS "${VKMOE_TOOLCHAIN_DIR}/include" NO_CACHE)
find_program(VKMOE_GLSLANG NAMES glslang glslangValidator HINTS "${VKMOE_TOOLCHAIN_DIR}/bin" NO_CACHE)
if(NOT VKMOE_VULKAN_INCLUDE_DIR OR NOT VKMOE_VOLK_INCLUDE_DIR OR NOT VKMOE_GLSLANG)
    message(FATAL_ERROR "Vulkan headers, volk.h or glslang are missing: run cmake/fetch_toolchain.sh")
endif()

execute_process(COMMAND "${VKMOE_GLSLANG}" --version OUTPUT_VARIABLE glslang_version OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT glslang_version MATCHES "Glslang Version: [0-9]*:([0-9]+\\.[0-9]+)")
    message(FATAL_ERROR "Could not read a version from '${VKMOE_GLSLANG} --version'")
endif()
set(VKMOE_GLSLANG_VERSION "${CMAKE_MATCH_1}")

file(STRINGS "${VKMOE_VULKAN_INCLUDE_DIR}/vulkan/vulkan_core.h" header_version
    REGEX "^#define VK_HEADER_VERSION(_COMPLETE)? .*[0-9]")
string(REGEX MATCH "VK_HEADER_VERSION ([0-9]+)" header_patch "${header_version}")
set(header_patch "${CMAKE_MATCH_1}")
string(REGEX MATCH "VK_MAKE_API_VERSION\\(0, ([0-9]+), ([0-9]+)" header_minor "${header_version}")
set(VKMOE_VULKAN_HEADERS_VERSION "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${header_patch}")
message(STATUS "glslang ${VKMOE_GLSLANG_VERSION} (${VKMOE_GLSLANG}), "
    "Vulkan headers ${VKMOE_VULKAN_HEADERS_VERSION} (${VKMOE_VULKAN_INCLUDE_DIR})")

# VKMOE_UNBUILT_<path>: why there are no kernels of a path, as DevicePlan's users print it; not set where they can be built.
# Extensions came at different times to Khronos' releases and distributions' packages, so that glslang is asked itself.
function(vkmoe_probe_path path header_macro glsl_extension)
    file(STRINGS "${VKMOE_VULKAN_INCLUDE_DIR}/vulkan/vulkan_core.h" known REGEX "^#define ${header_macro} 1")
    if(NOT known)
        set(reason "the Vulkan headers of the build (${VKMOE_VULKAN_HEADERS_VERSION}) do not know ${header_macro}")
    else()
        set(probe "${CMAKE_BINARY_DIR}/probes/${glsl_extension}.comp")
        file(CONFIGURE OUTPUT "${probe}"
            CONTENT "#version 460\n#extension ${glsl_extension} : require\nvoid main() {}\n")
        execute_process(COMMAND "${VKMOE_GLSLANG}" --quiet --target-env vulkan1.3 -V -o "${probe}.spv" "${probe}"
            RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
        if(NOT failed)
            return()
        endif()
        set(reason "glslang ${VKMOE_GLSLANG_VERSION} of the build does not know ${glsl_extension}")
    endif()
    message(STATUS "no kernels of path ${path}: ${reason}")
    set(VKMOE_UNBUILT_${path} "${reason}" PARENT_SCOPE)
endfunction()
vkmoe_probe_path(coopmat VK_KHR_cooperative_matrix GL_KHR_cooperative_matrix)
vkmoe_probe_path(coopmat_int8 VK_KHR_cooperative_matrix GL_KHR_cooperative_matrix)
vkmoe_probe_path(coopmat2 VK_NV_cooperative_matrix2 GL_NV_cooperative_matrix2)

add_library(vkmoe_vulkan INTERFACE)
target_include_directories(vkmoe_vulkan SYSTEM INTERFACE "${VKMOE_VULKAN_INCLUDE_DIR}" "${VKMOE_VOLK_INCLUDE_DIR}")
target_compile_definitions(vkmoe_vulkan INTERFACE VK_NO_PROTOTYPES)
target_link_libraries(vkmoe_vulkan INTERFACE ${CMAKE_DL_LIBS})
