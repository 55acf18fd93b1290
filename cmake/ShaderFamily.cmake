# The kernel table: families of shaders, every cell of which is one glslang command.
#
# vkmoe_shader_family(OP embed_rows SOURCE elementwise/embed_rows.comp [TYPES Q4_K ...] PATHS scalar [subgroup dot4])
#   OP       a value of enum Op, in snake_case without the k
#   SOURCE   below shaders/
#   TYPES    stored tensor types, as TensorType spells them; F32 alone where the op has none. Each compiles with
#            VKMOE_TYPE_<TYPE>=1
#   PATHS    each compiles with VKMOE_PATH_<PATH>=1; those with VKMOE_UNBUILT_<path> (Dependencies.cmake) are left out,
#            and the table says why
# vkmoe_finish_shaders(TARGET) compiles all cells and makes TARGET, a library with kernel_table() in it.

set_property(GLOBAL PROPERTY VKMOE_CELLS "")

function(vkmoe_shader_family)
    cmake_parse_arguments(ARG "" "OP;SOURCE" "TYPES;PATHS" ${ARGN})
    if("TYPES" IN_LIST ARG_KEYWORDS_MISSING_VALUES)
        return()  # the build wants none of the family's types
    endif()
    if(NOT ARG_TYPES)
        set(ARG_TYPES F32)
    endif()
    set(source "${CMAKE_SOURCE_DIR}/shaders/${ARG_SOURCE}")
    foreach(type IN LISTS ARG_TYPES)
        string(TOLOWER "${type}" type_lower)
        foreach(path IN LISTS ARG_PATHS)
            if(VKMOE_UNBUILT_${path})
                continue()
            endif()
            string(TOUPPER "${path}" path_upper)
            set(name "${ARG_OP}_${type_lower}_${path}")
            set(header "${CMAKE_BINARY_DIR}/spirv/${name}.h")
            add_custom_command(
                OUTPUT "${header}"
                COMMAND "${VKMOE_GLSLANG}" --quiet --target-env vulkan1.3 -V -g0 "-I${CMAKE_SOURCE_DIR}/shaders"
                    "-DVKMOE_TYPE_${type}=1" "-DVKMOE_PATH_${path_upper}=1"
                    --vn "kSpirv_${name}" --depfile "${header}.d" -o "${header}" "${source}"
                DEPENDS "${source}"
                DEPFILE "${header}.d"
                COMMENT "glslang ${name}"
                VERBATIM)
            set_property(GLOBAL APPEND PROPERTY VKMOE_CELLS "${ARG_OP}|${type}|${path}")
        endforeach()
    endforeach()
endfunction()

# snake_case to the enumerator that C++ has: embed_rows -> kEmbedRows
function(vkmoe_enumerator out name)
    string(REPLACE "_" ";" words "${name}")
    set(result "k")
    foreach(word IN LISTS words)
        string(SUBSTRING "${word}" 0 1 first)
        string(TOUPPER "${first}" first)
        string(SUBSTRING "${word}" 1 -1 rest)
        string(APPEND result "${first}${rest}")
    endforeach()
    set(${out} "${result}" PARENT_SCOPE)
endfunction()

function(vkmoe_finish_shaders target)
    get_property(cells GLOBAL PROPERTY VKMOE_CELLS)
    set(includes "")
    set(rows "")
    set(headers "")
    foreach(cell IN LISTS cells)
        string(REPLACE "|" ";" parts "${cell}")
        list(GET parts 0 op)
        list(GET parts 1 type)
        list(GET parts 2 path)
        string(TOLOWER "${type}" type_lower)
        set(name "${op}_${type_lower}_${path}")
        vkmoe_enumerator(op_enumerator "${op}")
        vkmoe_enumerator(path_enumerator "${path}")
        list(APPEND headers "${CMAKE_BINARY_DIR}/spirv/${name}.h")
        string(APPEND includes "#include \"spirv/${name}.h\"\n")
        string(APPEND rows "    {{Op::${op_enumerator}, TensorType::k${type}, Path::${path_enumerator}}, \"${name}\", kSpirv_${name}},\n")
    endforeach()
    set(unbuilt "")
    foreach(path coopmat coopmat_int8 coopmat2)
        if(VKMOE_UNBUILT_${path})
            vkmoe_enumerator(path_enumerator "${path}")
            string(APPEND unbuilt "    {Path::${path_enumerator}, \"${VKMOE_UNBUILT_${path}}\"},\n")
        endif()
    endforeach()
    set(VKMOE_TABLE_UNBUILT "${unbuilt}")
    set(VKMOE_TABLE_INCLUDES "${includes}")
    set(VKMOE_TABLE_ROWS "${rows}")
    configure_file("${CMAKE_SOURCE_DIR}/cmake/kernel_table.cpp.in" "${CMAKE_BINARY_DIR}/kernel_table.cpp" @ONLY)
    add_library(${target} STATIC "${CMAKE_BINARY_DIR}/kernel_table.cpp" ${headers})
    target_include_directories(${target} PRIVATE "${CMAKE_BINARY_DIR}" "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/shaders")
    target_link_libraries(${target} PRIVATE vkmoe_vulkan fmt::fmt)
    list(LENGTH cells count)
    message(STATUS "kernel table: ${count} cells")
endfunction()
