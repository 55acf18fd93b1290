// Routes tokens for router_check.py:
//   router_dump FOLDER
// reads FOLDER/options (a line "key value" each, named as in kernels/router.h), logits and, where they are
// there, bias, expert_scales, table and tokens, all raw; writes FOLDER/ids and FOLDER/weights.

#include <fmt/core.h>

#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/router.h"
#include "sched/scheduler.h"

namespace {

using namespace vkmoe;
using std::filesystem::path;

std::vector<char> read_raw(const path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void run(const path& folder) {
    std::map<std::string, double> options;
    std::ifstream lines(folder / "options");
    for (std::string key; lines >> key;) lines >> options[key];
    const auto number = [&](const char* key) { return static_cast<uint32_t>(options[key]); };
    RouterArgs args;
    args.n_tokens = number("n_tokens");
    args.n_experts = number("n_experts");
    args.n_slots = number("n_slots");
    args.score = static_cast<RouterScore>(number("score"));
    args.n_groups = number("n_groups");
    args.n_groups_used = number("n_groups_used");
    args.group_score = static_cast<GroupScore>(number("group_score"));
    args.renormalize = options["renormalize"] != 0;
    args.sum_offset = static_cast<float>(options["sum_offset"]);
    args.floor = static_cast<float>(options["floor"]);
    args.scale = static_cast<float>(options["scale"]);
    args.jitter = static_cast<float>(options["jitter"]);
    args.n_table_rows = number("n_table_rows");

    const std::shared_ptr<Device> device = Device::create();
    KernelContext context(device);
    Arena arena(device, MemoryKind::kDevice, "router_dump");
    Uploader uploader(device);
    const auto upload = [&](const char* name) -> uint64_t {
        const std::vector<char> bytes = read_raw(folder / name);
        if (bytes.empty()) return 0;
        const Allocation memory = arena.allocate(bytes.size());
        uploader.copy(memory, std::as_bytes(std::span(bytes)));
        return memory.address;
    };
    args.logits = upload("logits");
    args.selection_bias = upload("bias");
    args.expert_scales = upload("expert_scales");
    args.table = upload("table");
    args.tokens = upload("tokens");
    uploader.flush();
    const size_t n_bytes = size_t{args.n_tokens} * args.n_slots * 4;
    const Allocation ids = arena.allocate(n_bytes);
    const Allocation weights = arena.allocate(n_bytes);
    args.ids = ids.address;
    args.weights = weights.address;
    Scheduler scheduler(device);
    scheduler.run(std::vector<Dispatch>{router(context, args)});
    for (const auto& [name, memory] : {std::pair("ids", ids), std::pair("weights", weights)}) {
        std::vector<char> bytes(n_bytes);
        download(*device, memory, std::as_writable_bytes(std::span(bytes)));
        std::ofstream(folder / name, std::ios::binary)
            .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        fmt::print(stderr, "usage: router_dump FOLDER\n");
        return 2;
    }
    try {
        run(arguments[1]);
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "router_dump: {}\n", error.what());
        return 1;
    }
}
