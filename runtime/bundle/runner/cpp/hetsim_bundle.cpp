#include "hetsim_bundle.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "manifest.hpp"

using bundle::Error;
using bundle::Manifest;
using bundle::Step;
using bundle::Tensor;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kIdleSpin = std::chrono::milliseconds(20);  // before a thread without a request sleeps
constexpr int kSpinsPerLook = 64;

struct alignas(64) Counter {  // one on each cache line
    std::atomic<uint64_t> value{0};
};

struct Stamps {
    Clock::time_point start, end;
};

void pause_core() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

std::string one_line(const std::string &text) {
    std::string line;
    for (const char c : text) line += c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
    return line;
}

}  // namespace

// A segment that has ended counts up its counter (release); a segment that reads its tensors waits for that (acquire).
// So all that it wrote is seen by then, on every architecture.
struct hetsim_bundle {
    std::string message;
    std::unique_ptr<Manifest> manifest;
    std::vector<std::string> input_data;  // beside the arena, where later tensors may take their place
    std::unique_ptr<Counter[]> done;      // by step, the newest request for which it has ended
    std::vector<Stamps> stamps;
    Counter submitted;
    std::atomic<bool> stopping{false};
    std::vector<std::thread> threads;
    std::mutex mutex;
    std::condition_variable wake_devices, wake_caller;
    size_t num_ready = 0, num_finished = 0;
    int failure = HETSIM_OK;
    Clock::time_point called_at, submitted_at, ended_at;

    void open(const std::string &folder) {
        manifest = std::make_unique<Manifest>(folder);
        for (const std::string &name : manifest->inputs)
            input_data.emplace_back(manifest->tensors.at(name).num_bytes, '\0');
        done = std::make_unique<Counter[]>(manifest->steps.size() + 1);
        stamps.resize(manifest->steps.size());
        check_cores();
        for (size_t device = 0; device < manifest->devices.size(); ++device)
            threads.emplace_back([this, device] { work(device); });
        std::unique_lock<std::mutex> lock(mutex);
        wake_caller.wait(lock, [this] { return num_ready == threads.size(); });
        if (failure != HETSIM_OK) throw Error(failure, message);
    }

    void run() {
        if (failure != HETSIM_OK) throw Error(failure, message);
        called_at = Clock::now();
        for (size_t i = 0; i < input_data.size(); ++i)
            std::memcpy(manifest->tensors.at(manifest->inputs[i]).data, input_data[i].data(), input_data[i].size());
        {
            const std::lock_guard<std::mutex> lock(mutex);
            num_finished = 0;
            submitted_at = Clock::now();
            submitted.value.fetch_add(1, std::memory_order_release);
        }
        wake_devices.notify_all();
        std::unique_lock<std::mutex> lock(mutex);
        wake_caller.wait(lock, [this] { return num_finished == threads.size() || failure != HETSIM_OK; });
        if (failure != HETSIM_OK) throw Error(failure, message);
        ended_at = submitted_at;
        for (const Stamps &each : stamps) ended_at = std::max(ended_at, each.end);
    }

    void close() {
        {
            const std::lock_guard<std::mutex> lock(mutex);
            stopping.store(true, std::memory_order_release);
        }
        wake_devices.notify_all();
        for (std::thread &thread : threads) thread.join();
        threads.clear();
    }

  private:
    void check_cores() const {
        cpu_set_t here;
        CPU_ZERO(&here);
        sched_getaffinity(0, sizeof here, &here);
        for (const bundle::Device &device : manifest->devices)
            for (const int core : device.cores)
                if (core < 0 || core >= CPU_SETSIZE || !CPU_ISSET(core, &here))
                    throw Error(HETSIM_NO_DEVICE, "device '" + device.name + "' is pinned to core " +
                                                      std::to_string(core) +
                                                      ", but this process may not use it; change devices[].cores in "
                                                      "manifest.json");
    }

    void fail(int status, const std::string &what) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (failure == HETSIM_OK) {
            message = one_line(what);
            failure = status;
        }
        stopping.store(true, std::memory_order_release);
        wake_caller.notify_all();
        wake_devices.notify_all();
    }

    void work(size_t number) {
        const bundle::Device &device = manifest->devices[number];
        std::vector<std::pair<size_t, std::function<void()>>> tasks;
        std::unique_ptr<bundle::Engine> engine;
        try {
            pin(device);
            engine = make_engine(device);
            for (size_t i = 0; i < manifest->steps.size(); ++i)
                if (manifest->steps[i].device == number)
                    tasks.emplace_back(i, engine->compile(manifest->steps[i].segment));
        } catch (const Error &error) {
            fail(error.status, "device '" + device.name + "': " + error.what());
        } catch (const std::exception &error) {
            fail(HETSIM_REFUSED, "device '" + device.name + "': " + error.what());
        }
        {
            const std::lock_guard<std::mutex> lock(mutex);
            ++num_ready;
        }
        wake_caller.notify_all();
        for (uint64_t request = 1; wait_for_request(request); ++request) {
            for (const auto &task : tasks) {
                for (const size_t other : manifest->steps[task.first].waits_for)
                    if (!wait_for(done[other].value, request)) return;
                stamps[task.first].start = Clock::now();
                try {
                    task.second();
                } catch (const std::exception &error) {
                    fail(HETSIM_FAILED, error.what());
                    return;
                }
                stamps[task.first].end = Clock::now();
                done[task.first].value.store(request, std::memory_order_release);
            }
            bool is_last = false;
            {
                const std::lock_guard<std::mutex> lock(mutex);
                is_last = ++num_finished == threads.size();
            }
            if (is_last) wake_caller.notify_all();
        }
    }

    static void pin(const bundle::Device &device) {
        if (device.cores.empty()) return;
        cpu_set_t cores;
        CPU_ZERO(&cores);
        for (const int core : device.cores) CPU_SET(core, &cores);
        pthread_setaffinity_np(pthread_self(), sizeof cores, &cores);
    }

    static std::unique_ptr<bundle::Engine> make_engine(const bundle::Device &device) {
        if (device.engine == "onnxruntime") return bundle::make_onnxruntime(device);
        if (device.engine == "openvino") return bundle::make_openvino(device);
        if (device.engine == "fake") return bundle::make_fake(device);
        throw Error(HETSIM_NO_DEVICE, "this runner drives no engine '" + device.engine + "'");
    }

    // Spins until a counter reaches a value; false if the bundle is closed or has failed meanwhile.
    bool wait_for(const std::atomic<uint64_t> &counter, uint64_t value) const {
        while (true) {
            for (int i = 0; i < kSpinsPerLook; ++i) {
                if (counter.load(std::memory_order_acquire) >= value) return true;
                pause_core();
            }
            if (stopping.load(std::memory_order_acquire)) return false;
            sched_yield();  // another thread on this core may be about to count it up
        }
    }

    // Spins for a while and then sleeps until there is a request; false if the bundle is closed or has failed.
    bool wait_for_request(uint64_t request) {
        const auto deadline = Clock::now() + kIdleSpin;
        while (Clock::now() < deadline) {
            for (int i = 0; i < kSpinsPerLook; ++i) {
                if (submitted.value.load(std::memory_order_acquire) >= request) return true;
                pause_core();
            }
            if (stopping.load(std::memory_order_acquire)) return false;
            sched_yield();
        }
        std::unique_lock<std::mutex> lock(mutex);
        wake_devices.wait(lock, [&] {
            return submitted.value.load(std::memory_order_acquire) >= request ||
                   stopping.load(std::memory_order_acquire);
        });
        return !stopping.load(std::memory_order_acquire);
    }
};

namespace {

// Calls a function; an exception becomes a status and the bundle's message.
template <typename Function>
int guarded(hetsim_bundle *bundle, Function function) {
    try {
        function();
        return HETSIM_OK;
    } catch (const Error &error) {
        bundle->message = one_line(error.what());
        return error.status;
    } catch (const std::exception &error) {
        bundle->message = one_line(error.what());
        return HETSIM_FAILED;
    }
}

void describe(const Tensor &tensor, void *data, hetsim_tensor *out) {
    *out = {tensor.name.c_str(), tensor.dtype.c_str(), tensor.shape.data(), tensor.shape.size(), tensor.num_bytes, data};
}

template <typename Item>
double number(const char *items, size_t i) {
    Item item;
    std::memcpy(&item, items + i * sizeof item, sizeof item);
    return static_cast<double>(item);
}

double half_number(const char *items, size_t i) {
    const uint16_t bits = static_cast<uint16_t>(number<uint16_t>(items, i));
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double size = exponent == 31  ? (fraction ? NAN : INFINITY)
                        : exponent == 0 ? std::ldexp(fraction, -24)
                                        : std::ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -size : size;
}

// What reads an item of a tensor as a number; a bundle has no other types.
double (*reader_of(const Tensor &tensor))(const char *, size_t) {
    static const std::map<std::string, double (*)(const char *, size_t)> known = {
        {"float64", number<double>},   {"float32", number<float>},    {"float16", half_number},
        {"int64", number<int64_t>},    {"int32", number<int32_t>},    {"int16", number<int16_t>},
        {"int8", number<int8_t>},      {"uint64", number<uint64_t>},  {"uint32", number<uint32_t>},
        {"uint16", number<uint16_t>},  {"uint8", number<uint8_t>},    {"bool", number<uint8_t>}};
    const auto found = known.find(tensor.dtype);
    if (found == known.end()) throw Error(HETSIM_BAD_ARGUMENT, "outputs of type " + tensor.dtype + " are not compared");
    return found->second;
}

// Relative to the largest finite magnitude expected; infinite where NaN or infinity differs.
double largest_error(const Tensor &tensor, const std::string &expected) {
    const auto read = reader_of(tensor);
    double worst = 0, scale = 0;
    for (size_t i = 0; i < tensor.num_items; ++i) {
        const double got = read(tensor.data, i), right = read(expected.data(), i);
        if (std::isfinite(right)) scale = std::max(scale, std::abs(right));
        if (got == right || (std::isnan(got) && std::isnan(right))) continue;
        if (!std::isfinite(got) || !std::isfinite(right)) return INFINITY;
        worst = std::max(worst, std::abs(got - right));
    }
    return scale > 0 ? worst / scale : worst;
}

}  // namespace

int hetsim_bundle_open(const char *folder, hetsim_bundle **bundle) {
    if (folder == nullptr || bundle == nullptr) return HETSIM_BAD_ARGUMENT;
    *bundle = new hetsim_bundle;
    hetsim_bundle *made = *bundle;
    const int status = guarded(made, [&] { made->open(folder); });
    if (status != HETSIM_OK) made->close();
    return status;
}

void hetsim_bundle_close(hetsim_bundle *bundle) {
    if (bundle == nullptr) return;
    bundle->close();
    delete bundle;
}

const char *hetsim_bundle_message(const hetsim_bundle *bundle) { return bundle->message.c_str(); }

size_t hetsim_bundle_num_inputs(const hetsim_bundle *bundle) { return bundle->input_data.size(); }

size_t hetsim_bundle_num_outputs(const hetsim_bundle *bundle) { return bundle->manifest->outputs.size(); }

size_t hetsim_bundle_num_segments(const hetsim_bundle *bundle) { return bundle->stamps.size(); }

int hetsim_bundle_input(hetsim_bundle *bundle, size_t number, hetsim_tensor *tensor) {
    if (tensor == nullptr || number >= bundle->input_data.size()) return HETSIM_BAD_ARGUMENT;
    describe(bundle->manifest->tensors.at(bundle->manifest->inputs[number]), &bundle->input_data[number][0], tensor);
    return HETSIM_OK;
}

int hetsim_bundle_output(hetsim_bundle *bundle, size_t number, hetsim_tensor *tensor) {
    if (tensor == nullptr || number >= bundle->manifest->outputs.size()) return HETSIM_BAD_ARGUMENT;
    const Tensor &found = bundle->manifest->tensors.at(bundle->manifest->outputs[number]);
    describe(found, found.data, tensor);
    return HETSIM_OK;
}

int hetsim_bundle_segment(hetsim_bundle *bundle, size_t number, hetsim_segment *segment) {
    if (segment == nullptr || number >= bundle->stamps.size()) return HETSIM_BAD_ARGUMENT;
    const Step &step = bundle->manifest->steps[number];
    const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
    const Stamps &own = bundle->stamps[number];
    Clock::time_point free_at = bundle->submitted_at, made_at = bundle->submitted_at;
    for (size_t i = 0; i < number; ++i)
        if (bundle->manifest->steps[i].device == step.device) free_at = std::max(free_at, bundle->stamps[i].end);
    for (const size_t other : step.waits_for) made_at = std::max(made_at, bundle->stamps[other].end);
    const bool waited = !step.waits_for.empty() && made_at > free_at;
    *segment = {bundle->manifest->devices[step.device].name.c_str(), step.segment.ops.front().c_str(),
                seconds(own.start - bundle->submitted_at), seconds(own.end - bundle->submitted_at),
                waited ? seconds(own.start - made_at) : -1.0};
    return HETSIM_OK;
}

int hetsim_bundle_run(hetsim_bundle *bundle) {
    if (bundle == nullptr || bundle->threads.empty()) return HETSIM_BAD_ARGUMENT;
    return guarded(bundle, [&] { bundle->run(); });
}

double hetsim_bundle_latency_s(const hetsim_bundle *bundle) {
    return std::chrono::duration<double>(bundle->ended_at - bundle->called_at).count();
}

int hetsim_bundle_load_example(hetsim_bundle *bundle) {
    return guarded(bundle, [&] {
        for (size_t i = 0; i < bundle->input_data.size(); ++i) {
            const std::string &name = bundle->manifest->inputs[i];
            const auto found = bundle->manifest->example_inputs.find(name);
            const std::string data =
                found == bundle->manifest->example_inputs.end() ? "" : bundle->manifest->read_file(found->second);
            if (data.size() != bundle->input_data[i].size())
                throw Error(HETSIM_BAD_BUNDLE, "the example's input '" + name + "' has another size");
            bundle->input_data[i] = data;
        }
    });
}

int hetsim_bundle_check_example(hetsim_bundle *bundle, double *error, double *tolerance) {
    if (error == nullptr || tolerance == nullptr) return HETSIM_BAD_ARGUMENT;
    return guarded(bundle, [&] {
        *error = 0;
        *tolerance = bundle->manifest->tolerance;
        for (const auto &file : bundle->manifest->example_outputs) {
            const Tensor &tensor = bundle->manifest->tensors.at(file.first);
            const std::string expected = bundle->manifest->read_file(file.second);
            if (expected.size() != tensor.num_bytes)
                throw Error(HETSIM_BAD_BUNDLE, "the example's output '" + file.first + "' has another size");
            *error = std::max(*error, largest_error(tensor, expected));
        }
    });
}
