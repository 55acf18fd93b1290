#include "experts/host_tier.h"

#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "experts/host_budget.h"
#include "experts/host_places.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace vkmoe {
namespace {

constexpr uint32_t kNoPlace = UINT32_MAX;

}  // namespace

class HostTier::Impl {
  public:
    Impl(std::shared_ptr<Device> device, std::vector<RecordLayer> layers, uint32_t n_experts,
         const HostTierOptions& options);

    bool request(uint32_t layer, uint32_t expert);
    HostRecord acquire(uint32_t layer, uint32_t expert);
    void release(uint32_t layer, uint32_t expert);
    uint64_t device_address(uint32_t layer, uint32_t expert) const;

    bool all_resident() const { return !reader_; }
    const HostPlaces& memory() const { return memory_; }
    uint64_t n_places() const { return places_.size(); }
    uint64_t fewest_places() const { return std::ranges::min(classes_, {}, &Class::n).n; }
    uint64_t committed_bytes() const { return memory_.committed_bytes() + reader_bytes_; }
    uint64_t wasted_bytes() const { return memory_.committed_bytes() - useful_bytes_; }
    HostTierStatistics statistics() const;
    void set_slots(uint64_t n_slots, std::function<bool(uint32_t, uint32_t)> in_slot);

  private:
    enum class State { kAbsent, kReading, kPresent };
    struct Record {
        State state = State::kAbsent;
        uint32_t place = kNoPlace;
        uint32_t n_locks = 0;
        uint64_t last_use = 0;      // on clock_
        bool in_slot = false;       // when free_place last looked
        bool ahead = false;         // request() started its read, and nobody has acquired it yet
        bool being_waited = false;  // a thread is in FileReader::wait for the ticket
        FileReader::Ticket ticket = 0;
    };
    /// Places of one size: those of indices [first, first + n) in places_.
    struct Class {
        std::vector<uint32_t> free;
        uint64_t first = 0;
        uint64_t n = 0;
    };
    using Lock = std::unique_lock<std::mutex>;

    void take_places(const std::vector<RecordClass>& classes);
    void read_everything(const std::function<bool(float)>& progress);
    FileReader::Ticket submit(uint32_t layer, uint32_t expert, std::byte* to);
    void start_read(uint32_t number, uint32_t place, bool ahead);
    std::string finish_read(Lock& lock, uint32_t number);
    void end_finished_reads(Lock& lock, const Class& size);
    uint64_t age_of(uint32_t number);
    std::optional<uint32_t> free_place(Class& size, bool for_request);
    uint32_t place_for(Lock& lock, uint32_t number);
    uint32_t number_of(uint32_t layer, uint32_t expert) const {
        assert(layer < layers_.size() && expert < n_experts_);
        return layer * n_experts_ + expert;
    }
    std::string name_of(uint32_t number) const {
        return fmt::format("expert {} of layer {}", number % n_experts_, layers_[number / n_experts_].block);
    }
    HostRecord host_record(uint32_t place, uint32_t layer) const;

    const std::vector<RecordLayer> layers_;
    const uint32_t n_experts_;
    HostPlaces memory_;
    uint64_t reader_bytes_ = 0;
    uint64_t useful_bytes_ = 0;  // of places: what records fill
    std::vector<HostPlaces::Place> places_;
    std::vector<uint32_t> owners_;          // of places: a record's number, or kNoPlace
    std::vector<uint32_t> class_of_layer_;  // index in classes_
    std::vector<Class> classes_;
    std::vector<std::vector<uint32_t>> files_;  // of layers: their pieces' files in the reader

    mutable std::mutex mutex_;  // guards what follows, but for the reader
    std::condition_variable changed_;
    std::vector<Record> records_;
    uint64_t clock_ = 0;  // of acquire(): how often it was called
    uint64_t n_slots_ = 0;
    std::function<bool(uint32_t, uint32_t)> in_slot_;
    HostTierStatistics statistics_;
    std::unique_ptr<FileReader> reader_;  // ends before the memory that it writes; null: everything was read
};

HostTier::Impl::Impl(std::shared_ptr<Device> device, std::vector<RecordLayer> layers, uint32_t n_experts,
                     const HostTierOptions& options)
    : layers_(std::move(layers)), n_experts_(n_experts), memory_(std::move(device), options.pin) {
    assert(!layers_.empty() && n_experts > 0 && options.least_records > 0);
    const HostBudget budget = share_budget(layers_, n_experts, options);
    take_places(budget.classes);
    reader_bytes_ = FileReader::buffer_bytes(budget.reader);
    reader_ = std::make_unique<FileReader>(budget.reader);
    for (const RecordLayer& layer : layers_) {
        std::vector<uint32_t>& files = files_.emplace_back();
        for (const RecordPiece& piece : layer.pieces) files.push_back(reader_->add_file(piece.path));
    }
    if (budget.holds_all) read_everything(options.progress);
    log_info("host tier: {} for {} of {} experts, {} of it pinned and {} wasted",
             human_bytes(committed_bytes()), places_.size(), records_.size(),
             human_bytes(memory_.pinned_bytes()), human_bytes(wasted_bytes()));
}

void HostTier::Impl::take_places(const std::vector<RecordClass>& classes) {
    records_.resize(layers_.size() * n_experts_);
    class_of_layer_.resize(layers_.size());
    for (uint32_t i = 0; i < classes.size(); ++i) {
        Class size{.first = places_.size(), .n = classes[i].n_places};
        const std::vector<HostPlaces::Place> taken = memory_.take(classes[i].n_places, classes[i].stride);
        places_.insert(places_.end(), taken.begin(), taken.end());
        owners_.resize(places_.size(), kNoPlace);
        // Taken from the back: the first place goes first.
        for (uint64_t place = places_.size(); place > size.first; --place)
            size.free.push_back(static_cast<uint32_t>(place - 1));
        for (const uint32_t layer : classes[i].layers) class_of_layer_[layer] = i;
        useful_bytes_ += classes[i].n_places * layers_[classes[i].layers.front()].record_bytes;
        classes_.push_back(std::move(size));
    }
}

void HostTier::Impl::read_everything(const std::function<bool(float)>& progress) {
    // So many records that the reader always has some more, even where they are small.
    const size_t window = 16;
    std::deque<uint32_t> under_way;
    uint32_t n_done = 0;
    auto finish_one = [&] {
        const uint32_t number = under_way.front();
        under_way.pop_front();
        reader_->wait(records_[number].ticket, "disk tier: " + name_of(number));
        records_[number].state = State::kPresent;
        ++n_done;
        const double share = static_cast<double>(n_done) / static_cast<double>(records_.size());
        if (progress && !progress(static_cast<float>(share)))
            fail(ErrorCode::kCancelled, "reading the experts of '{}' was cancelled",
                 layers_.front().pieces.front().path);
    };
    for (uint32_t number = 0; number < records_.size(); ++number) {
        if (under_way.size() == window) finish_one();
        Class& size = classes_[class_of_layer_[number / n_experts_]];
        start_read(number, size.free.back(), false);
        size.free.pop_back();
        under_way.push_back(number);
    }
    while (!under_way.empty()) finish_one();
    statistics_.bytes_read = reader_->bytes_read();
    reader_.reset();
    reader_bytes_ = 0;
}

FileReader::Ticket HostTier::Impl::submit(uint32_t layer, uint32_t expert, std::byte* to) {
    const RecordLayer& shape = layers_[layer];
    std::vector<FileRead> reads;
    for (size_t i = 0; i < shape.pieces.size(); ++i) {
        const RecordPiece& piece = shape.pieces[i];
        reads.push_back({.file = files_[layer][i],
                         .offset = piece.file_offset + expert * piece.bytes,
                         .to = std::span(to + piece.record_offset, piece.bytes)});
    }
    return reader_->submit(reads);
}

/// Lets the record have the place and reads it there.
void HostTier::Impl::start_read(uint32_t number, uint32_t place, bool ahead) {
    const uint32_t layer = number / n_experts_;
    std::byte* to = places_[place].data;
    const RecordLayer& shape = layers_[layer];
    uint64_t end = 0;
    for (const RecordPiece& piece : shape.pieces) {
        if (piece.record_offset > end) std::memset(to + end, 0, piece.record_offset - end);
        end = piece.record_offset + piece.bytes;
    }
    const uint64_t end_of_units = (shape.record_bytes + 15) / 16 * 16;
    if (end_of_units > end) std::memset(to + end, 0, end_of_units - end);

    Record& record = records_[number];
    try {
        record.ticket = submit(layer, number % n_experts_, to);
    } catch (...) {
        classes_[class_of_layer_[layer]].free.push_back(place);
        throw;
    }
    record.state = State::kReading;
    record.place = place;
    record.last_use = clock_;
    record.ahead = ahead;
    owners_[place] = number;
}

/// Waits for a read that nobody else waits for, without the lock, and notes how it ended: empty, or what went
/// wrong.
std::string HostTier::Impl::finish_read(Lock& lock, uint32_t number) {
    Record& record = records_[number];
    const FileReader::Ticket ticket = record.ticket;
    record.being_waited = true;
    lock.unlock();
    std::string error;
    try {
        reader_->wait(ticket);
    } catch (const Error& failure) {
        error = failure.what();
    }
    lock.lock();
    record.being_waited = false;
    if (error.empty()) {
        record.state = State::kPresent;
    } else {
        ++statistics_.n_failed_reads;
        classes_[class_of_layer_[number / n_experts_]].free.push_back(record.place);
        owners_[record.place] = kNoPlace;
        record.state = State::kAbsent;
        record.place = kNoPlace;
        record.ahead = false;
    }
    changed_.notify_all();
    return error;
}

/// What was read ahead and is there can be evicted like anything else.
void HostTier::Impl::end_finished_reads(Lock& lock, const Class& size) {
    for (uint64_t place = size.first; place < size.first + size.n; ++place) {
        const uint32_t number = owners_[place];
        if (number == kNoPlace) continue;
        const Record& record = records_[number];
        if (record.state == State::kReading && !record.being_waited && reader_->done(record.ticket))
            finish_read(lock, number);
    }
}

/// How long a record has been of no use here, in calls of acquire(). One that lies in a slot will not be
/// asked for before it leaves it, which takes about as many misses as there are slots; one that has left was
/// in use until then. On traces of the bundled model this reads 3-20% less from disk than LRU does.
uint64_t HostTier::Impl::age_of(uint32_t number) {
    Record& record = records_[number];
    const bool was_in_slot = record.in_slot;
    record.in_slot = in_slot_ && in_slot_(number / n_experts_, number % n_experts_);
    if (was_in_slot && !record.in_slot) record.last_use = clock_;
    return clock_ - record.last_use + (record.in_slot ? n_slots_ : 0);
}

/// A place that holds nothing, perhaps after an eviction. for_request: what was read ahead stays.
std::optional<uint32_t> HostTier::Impl::free_place(Class& size, bool for_request) {
    if (size.free.empty()) {
        std::optional<uint64_t> victim;
        uint64_t largest_age = 0;
        for (uint64_t place = size.first; place < size.first + size.n; ++place) {
            const uint32_t number = owners_[place];
            const Record& record = records_[number];
            const uint64_t age = age_of(number);
            if (record.state != State::kPresent || record.n_locks > 0 || (for_request && record.ahead))
                continue;
            if (!victim || age > largest_age) {
                victim = place;
                largest_age = age;
            }
        }
        if (!victim) return std::nullopt;
        Record& record = records_[owners_[*victim]];
        record.state = State::kAbsent;
        record.place = kNoPlace;
        record.ahead = false;
        record.in_slot = false;
        owners_[*victim] = kNoPlace;
        size.free.push_back(static_cast<uint32_t>(*victim));
        ++statistics_.n_evictions;
    }
    const uint32_t place = size.free.back();
    size.free.pop_back();
    return place;
}

/// A place for a record that must come in; waits for reads ahead that are in its way. Lets go of the lock
/// meanwhile; kNoPlace where the record is no longer absent then.
uint32_t HostTier::Impl::place_for(Lock& lock, uint32_t number) {
    Class& size = classes_[class_of_layer_[number / n_experts_]];
    while (true) {
        if (size.free.empty()) end_finished_reads(lock, size);
        if (records_[number].state != State::kAbsent) return kNoPlace;
        if (const std::optional<uint32_t> place = free_place(size, false)) return *place;

        uint32_t oldest = kNoPlace;
        bool others_wait = false;
        for (uint64_t place = size.first; place < size.first + size.n; ++place) {
            const Record& record = records_[owners_[place]];
            if (record.state != State::kReading) continue;
            others_wait = others_wait || record.being_waited;
            if (!record.being_waited && (oldest == kNoPlace || record.last_use < records_[oldest].last_use))
                oldest = owners_[place];
        }
        if (oldest != kNoPlace) {
            finish_read(lock, oldest);
        } else if (others_wait) {
            changed_.wait(lock);
        } else {
            fail(ErrorCode::kOutOfMemory,
                 "host tier: no space for {} because all {} places of its size are in use; raise the RAM "
                 "budget",
                 name_of(number), size.n);
        }
    }
}

bool HostTier::Impl::request(uint32_t layer, uint32_t expert) {
    const uint32_t number = number_of(layer, expert);
    Lock lock(mutex_);
    if (all_resident()) return true;
    Class& size = classes_[class_of_layer_[layer]];
    if (size.free.empty()) end_finished_reads(lock, size);
    Record& record = records_[number];
    if (record.state != State::kAbsent) {
        record.last_use = clock_;
        return true;
    }
    const std::optional<uint32_t> place = free_place(size, true);
    if (!place) return false;
    start_read(number, *place, true);
    ++statistics_.n_requested;
    return true;
}

HostRecord HostTier::Impl::acquire(uint32_t layer, uint32_t expert) {
    const uint32_t number = number_of(layer, expert);
    Lock lock(mutex_);
    Record& record = records_[number];
    if (record.state == State::kPresent) {
        ++statistics_.n_hits;
    } else {
        const auto start = std::chrono::steady_clock::now();
        ++(record.state == State::kReading ? statistics_.n_waits : statistics_.n_misses);
        while (record.state != State::kPresent) {
            if (record.state == State::kAbsent) {
                const uint32_t place = place_for(lock, number);
                if (place == kNoPlace) continue;
                start_read(number, place, false);
            }
            if (record.being_waited) {
                changed_.wait(lock);
                continue;
            }
            // A read ahead may have failed long ago: it is tried once more.
            const bool ahead = record.ahead;
            const std::string error = finish_read(lock, number);
            if (!error.empty() && !ahead) fail(ErrorCode::kIo, "disk tier: {}: {}", name_of(number), error);
        }
        const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
        statistics_.seconds_waited += waited.count();
    }
    ++record.n_locks;
    record.ahead = false;
    record.last_use = ++clock_;
    return host_record(record.place, layer);
}

void HostTier::Impl::release(uint32_t layer, uint32_t expert) {
    const Lock lock(mutex_);
    Record& record = records_[number_of(layer, expert)];
    assert(record.n_locks > 0);
    --record.n_locks;
}

HostRecord HostTier::Impl::host_record(uint32_t place, uint32_t layer) const {
    const HostPlaces::Place& at = places_[place];
    return {at.data, at.memory ? at.memory.slice(0, layers_[layer].record_bytes) : Allocation{}};
}

uint64_t HostTier::Impl::device_address(uint32_t layer, uint32_t expert) const {
    return all_resident() ? places_[records_[number_of(layer, expert)].place].memory.address : 0;
}

HostTierStatistics HostTier::Impl::statistics() const {
    const Lock lock(mutex_);
    HostTierStatistics statistics = statistics_;
    if (reader_) statistics.bytes_read = reader_->bytes_read();
    return statistics;
}

void HostTier::Impl::set_slots(uint64_t n_slots, std::function<bool(uint32_t, uint32_t)> in_slot) {
    const Lock lock(mutex_);
    n_slots_ = n_slots;
    in_slot_ = std::move(in_slot);
}

HostTier::HostTier(std::shared_ptr<Device> device, std::vector<RecordLayer> layers, uint32_t n_experts,
                   const HostTierOptions& options)
    : impl_(std::make_unique<Impl>(std::move(device), std::move(layers), n_experts, options)) {}

HostTier::~HostTier() = default;

bool HostTier::all_resident() const {
    return impl_->all_resident();
}

bool HostTier::all_pinned() const {
    return all_resident() && impl_->memory().pinned_bytes() == impl_->memory().committed_bytes();
}

uint64_t HostTier::device_address(uint32_t layer, uint32_t expert) const {
    return impl_->device_address(layer, expert);
}

bool HostTier::request(uint32_t layer, uint32_t expert) {
    return impl_->request(layer, expert);
}

HostRecord HostTier::acquire(uint32_t layer, uint32_t expert) {
    return impl_->acquire(layer, expert);
}

void HostTier::release(uint32_t layer, uint32_t expert) {
    impl_->release(layer, expert);
}

void HostTier::set_slots(uint64_t n_slots, std::function<bool(uint32_t, uint32_t)> in_slot) {
    impl_->set_slots(n_slots, std::move(in_slot));
}

uint64_t HostTier::committed_bytes() const {
    return impl_->committed_bytes();
}

uint64_t HostTier::pinned_bytes() const {
    return impl_->memory().pinned_bytes();
}

uint64_t HostTier::wasted_bytes() const {
    return impl_->wasted_bytes();
}

uint64_t HostTier::n_places() const {
    return impl_->n_places();
}

uint64_t HostTier::fewest_places() const {
    return impl_->fewest_places();
}

HostTierStatistics HostTier::statistics() const {
    return impl_->statistics();
}

}  // namespace vkmoe
