// A library to preload (LD_PRELOAD): refuses threads and memory to a program from some call on, and writes
// the stack of a crash to a file. See exit_codes_test.py. It counts from main on, and only the program's own
// calls: a driver's always succeed.
//
//   VKMOE_REFUSE_THREADS_AFTER=N  std::thread fails after N threads
//   VKMOE_REFUSE_MEMORY_AFTER=N   operator new fails after N calls
//   VKMOE_REFUSE_SPACE=N:BYTES    from the N-th thread on the address space may grow by BYTES only
//   VKMOE_REFUSE_COUNTS=FILE      gets the number of threads and of calls of new, at the end
//   VKMOE_REFUSE_STACK=FILE       gets the stack of a crash, and of SIGALRM, that is of a hang

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

constexpr uint64_t kNever = UINT64_MAX;

constexpr std::array kSignals{SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGALRM};  // whose stack is written

uint64_t threads_after = kNever;
uint64_t memory_after = kNever;
uint64_t space_at = kNever;
uint64_t space_bytes = 0;
bool is_counting = false;
std::atomic<uint64_t> n_threads = 0;
std::atomic<uint64_t> n_allocations = 0;
uintptr_t program_begin = 0;
uintptr_t program_end = 0;
const char* stack_file = nullptr;

uint64_t number(const char* variable) {
    const char* text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : kNever;
}

int find_program(dl_phdr_info* info, size_t, void*) {
    // The program itself comes first.
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& header = info->dlpi_phdr[i];
        if (header.p_type != PT_LOAD) continue;
        const uintptr_t begin = info->dlpi_addr + header.p_vaddr;
        if (program_begin == 0) program_begin = begin;
        program_end = begin + header.p_memsz;
    }
    return 1;
}

/// The instruction that a signal interrupted.
void* interrupted_at(const void* context) {
    const mcontext_t& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    return reinterpret_cast<void*>(machine.gregs[REG_RIP]);
#elif defined(__aarch64__)
    return reinterpret_cast<void*>(machine.pc);
#else
    return nullptr;
#endif
}

void write_stack(int signal, siginfo_t* info, void* context) {
    static std::atomic_flag is_writing;
    while (is_writing.test_and_set()) ::pause();  // another thread crashed first; it ends the program
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &unlimited);
    const int file = ::open(stack_file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    char line[80];
    const int length = std::snprintf(line, sizeof line, "signal %d at %p\n", signal, info->si_addr);
    if (::write(file, line, static_cast<size_t>(length)) != length) std::abort();
    // First, since the unwinder itself may crash: in code that a driver made, or for want of memory.
    void* const instruction = interrupted_at(context);
    ::backtrace_symbols_fd(&instruction, 1, file);
    void* frames[100];
    ::backtrace_symbols_fd(frames, ::backtrace(frames, 100), file);
    ::close(file);
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

void limit_space() {
    unsigned long pages = 0;
    FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%lu", &pages) != 1) std::abort();
    std::fclose(file);
    const rlim_t bytes = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + space_bytes;
    const rlimit limit{bytes, bytes};
    ::setrlimit(RLIMIT_AS, &limit);
}

__attribute__((constructor)) void begin() {
    ::dl_iterate_phdr(find_program, nullptr);
    threads_after = number("VKMOE_REFUSE_THREADS_AFTER");
    memory_after = number("VKMOE_REFUSE_MEMORY_AFTER");
    space_at = number("VKMOE_REFUSE_SPACE");
    if (space_at != kNever)
        space_bytes = std::strtoull(std::strchr(std::getenv("VKMOE_REFUSE_SPACE"), ':') + 1, nullptr, 10);
    stack_file = std::getenv("VKMOE_REFUSE_STACK");
    if (stack_file == nullptr) return;
    void* frame = nullptr;
    ::backtrace(&frame, 1);  // loads what it needs while there is memory
    static char stack[1 << 16];
    const stack_t alternate{stack, 0, sizeof stack};
    ::sigaltstack(&alternate, nullptr);
    for (const int signal : kSignals) {
        struct sigaction action {};
        action.sa_sigaction = write_stack;
        action.sa_flags = static_cast<int>(SA_SIGINFO | SA_ONSTACK);
        ::sigaction(signal, &action, nullptr);
    }
}

__attribute__((destructor)) void end() {
    const char* counts = std::getenv("VKMOE_REFUSE_COUNTS");
    FILE* file = counts != nullptr ? std::fopen(counts, "w") : nullptr;
    if (file == nullptr) return;
    std::fprintf(file, "%lu %lu\n", static_cast<unsigned long>(n_threads),
                 static_cast<unsigned long>(n_allocations));
    std::fclose(file);
}

/// Whether the function that returns to an address is std::thread's.
bool is_standard_library(const void* address) {
    Dl_info info{};
    return ::dladdr(address, &info) != 0 && std::strstr(info.dli_fname, "libstdc++") != nullptr;
}

using Main = int(int, char**, char**);
Main* program_main = nullptr;

int counted_main(int argc, char** argv, char** environment) {
    is_counting = true;
    return program_main(argc, argv, environment);
}

}  // namespace

extern "C" int __libc_start_main(Main* main, int argc, char** argv, void (*begin)(), void (*end)(),
                                 void (*end_loader)(), void* stack_end) {
    const auto original =
        reinterpret_cast<decltype(&__libc_start_main)>(::dlsym(RTLD_NEXT, "__libc_start_main"));
    program_main = main;
    return original(counted_main, argc, argv, begin, end, end_loader, stack_end);
}

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                              void* argument) noexcept {
    static const auto original =
        reinterpret_cast<decltype(&pthread_create)>(::dlsym(RTLD_NEXT, "pthread_create"));
    if (is_counting && is_standard_library(__builtin_return_address(0))) {
        const uint64_t call = ++n_threads;
        if (call > threads_after) return EAGAIN;
        if (call == space_at) limit_space();
    }
    return original(thread, attributes, run, argument);
}

void* operator new(size_t bytes) {
    const auto caller = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
    const bool is_program = caller >= program_begin && caller < program_end;
    if (is_counting && is_program && ++n_allocations > memory_after) throw std::bad_alloc();
    void* memory = std::malloc(bytes != 0 ? bytes : 1);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void operator delete(void* memory) noexcept {
    std::free(memory);
}

void operator delete(void* memory, size_t) noexcept {
    std::free(memory);
}
