#include "sched/program.h"

#include "base/error.h"
#include "kernels/row_test.h"
#include "unit/error_matching.h"

#include <functional>

namespace vkmoe {
namespace {

/// A step that is a function.
class Step : public HostStep {
  public:
    using Work = std::function<Done(std::span<const std::unique_ptr<CommandBuffer>>, uint64_t value,
                                    Scheduler& scheduler)>;

    explicit Step(Work work) : work_(std::move(work)) {}
    Done run(std::span<const std::unique_ptr<CommandBuffer>> commands, uint64_t value,
             Scheduler& scheduler) const override {
        return work_(commands, value, scheduler);
    }

  private:
    Work work_;
};

class ProgramTest : public RowTest {
  protected:
    static constexpr uint32_t kColumns = 256;

    ProgramTest()
        : RowTest(kColumns), arena_(context().shared_device(), MemoryKind::kUpload, "written by steps") {
        written_ = arena_.allocate(kColumns * sizeof(float));
    }

    /// Two parts: sum += 1 by the first, sum += written_ by the second.
    std::vector<ProgramPart> parts_around(Step::Work work, uint64_t sum) {
        const uint64_t ones = upload(std::vector<float>(kColumns, 1.0f)).address;
        std::vector<ProgramPart> parts(2);
        parts[0].dispatches = {add(sum, ones, sum)};
        parts[0].step = std::make_unique<Step>(std::move(work));
        parts[1].dispatches = {add(sum, written_.address, sum)};
        return parts;
    }

    void write(float value) {
        for (uint32_t i = 0; i < kColumns; ++i) reinterpret_cast<float*>(written_.mapped)[i] = value;
    }

    static std::vector<float> all(float value) { return std::vector<float>(kColumns, value); }

    Arena arena_;
    Allocation written_;
};

TEST_F(ProgramTest, AStepRunsBetweenItsPartsEveryTime) {
    auto sum = output<float>(kColumns);
    sum.fill(all(0));
    auto seen = output<float>(kColumns);
    std::vector<float> before;
    std::vector<ProgramPart> parts = parts_around(
        [&](auto, uint64_t value, Scheduler& scheduler) -> HostStep::Done {
            scheduler.wait(value);
            before.push_back(seen.read().front());
            write(10 * static_cast<float>(before.size()));
            return {};
        },
        sum.address());
    parts[0].copies = {{sum.memory(), seen.memory()}};
    const Program program(context().shared_device(), nullptr, std::move(parts));
    for (int i = 0; i < 3; ++i) program.run(scheduler());
    EXPECT_EQ(before, (std::vector<float>{1, 1 + 10 + 1, 12 + 20 + 1}));
    EXPECT_EQ(sum.read(), all(33 + 30));
}

TEST_F(ProgramTest, AStepSubmitsItsOwnCommandsWhenItWants) {
    auto sum = output<float>(kColumns);
    sum.fill(all(0));
    const uint64_t hundreds = upload(all(100)).address;
    std::vector<ProgramPart> parts = parts_around(
        [&](std::span<const std::unique_ptr<CommandBuffer>> commands, uint64_t,
            Scheduler& scheduler) -> HostStep::Done {
            EXPECT_EQ(commands.size(), 3u);
            EXPECT_EQ(commands[1], nullptr) << "nothing to submit";
            write(7);
            HostStep::Done done;
            const uint64_t first = scheduler.submit(*commands[0]);
            scheduler.wait(first);  // before it is submitted again
            done.waits = {scheduler.point(scheduler.submit(*commands[0]))};
            done.runs = {commands[0].get()};
            return done;
        },
        sum.address());
    const uint64_t address = sum.address();
    parts[0].step_dispatches = {{add(address, hundreds, address)}, {}, {add(0, hundreds, address)}};
    const Program program(context().shared_device(), nullptr, std::move(parts));
    EXPECT_EQ(program.counts(), (Program::Counts{.dispatches = 4, .barriers = 0, .command_buffers = 4}));
    program.run(scheduler());
    EXPECT_EQ(sum.read(), all(1 + 200 + 7));
}

TEST_F(ProgramTest, AStepThatFailsEndsTheProgramWithNothingInFlight) {
    auto sum = output<float>(kColumns);
    sum.fill(all(0));
    const Program program(
        context().shared_device(), nullptr,
        parts_around(
            [](auto, uint64_t, Scheduler&) -> HostStep::Done { fail(ErrorCode::kIo, "the step failed"); },
            sum.address()));
    expect_error(ErrorCode::kIo, {"the step failed"}, [&] { program.run(scheduler()); });
    EXPECT_EQ(sum.read(), all(1)) << "of the first part alone";
}

}  // namespace
}  // namespace vkmoe
