# cmake -D SOURCE=FOLDER -D OUTPUT=FILE.cpp -P write_commit.cmake
# Writes build_commit() of src/cli/build_info.h. Runs with every build, and touches FILE only when the commit is another.

# `git archive`, and with it GitHub's tarballs, put the commit into this file: see .gitattributes.
file(READ "${SOURCE}/cmake/archive_commit.txt" commit)
string(STRIP "${commit}" commit)
if(NOT commit MATCHES "^[0-9a-f]+$")
    set(commit "")
    find_program(git git)
    if(git)
        # A tarball may be unpacked inside the repository of something else.
        execute_process(COMMAND "${git}" -C "${SOURCE}" rev-parse --show-cdup
            OUTPUT_VARIABLE way_up OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
        if(NOT failed AND way_up STREQUAL "")
            execute_process(COMMAND "${git}" --no-optional-locks -C "${SOURCE}"
                    describe --always --exclude=* --abbrev=12 --dirty=-modified
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
        endif()
    endif()
endif()
if(NOT commit MATCHES "^[0-9a-f]+(-modified)?$")
    set(commit "")
endif()

set(text "#include \"cli/build_info.h\"\n
std::string_view vkmoe::cli::build_commit() {
    return \"${commit}\";
}
")
set(before "")
if(EXISTS "${OUTPUT}")
    file(READ "${OUTPUT}" before)
endif()
if(NOT before STREQUAL text)
    file(WRITE "${OUTPUT}" "${text}")
endif()
