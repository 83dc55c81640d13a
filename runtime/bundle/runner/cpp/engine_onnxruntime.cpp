// ONNX Runtime's CPU provider by its C interface, loaded when a bundle needs it.
//
// The interface is a table of functions to which versions only append, so what is needed of it is declared here by
// number: https://onnxruntime.ai/docs/api/c/struct_ort_api.html. The library is the one that HETSIM_ONNXRUNTIME names
// in the environment or was given to CMake, such as the libonnxruntime.so of the Python package.
#include <dlfcn.h>

#include <cstdlib>
#include <mutex>

#include "engine.hpp"
#include "hetsim_bundle.h"

#ifndef HETSIM_ONNXRUNTIME_LIBRARY
#define HETSIM_ONNXRUNTIME_LIBRARY "libonnxruntime.so.1"
#endif

namespace bundle {
namespace {

using Status = void *;

enum Function {  // its number in the table
    get_error_message = 2,
    create_env = 3,
    create_session = 7,
    run_session = 9,
    create_session_options = 10,
    set_log_severity = 22,
    set_intra_op_threads = 24,
    set_inter_op_threads = 25,
    create_tensor_with_data = 49,
    create_cpu_memory_info = 69,
    release_status = 93,
    release_memory_info = 94,
    release_session = 95,
    release_value = 96,
    release_session_options = 100
};

struct ApiBase {
    const void *(*get_api)(uint32_t version);
    const char *(*get_version)();
};

constexpr uint32_t kApiVersion = 1;
constexpr int kNoLog = 4;

// The library, loaded once for all devices.
class Library {
  public:
    static Library &get() {
        static Library library;
        return library;
    }

    template <typename... Arguments>
    void call(Function function, Arguments... arguments) const {
        const Status status = reinterpret_cast<Status (*)(Arguments...)>(table_[function])(arguments...);
        if (status == nullptr) return;
        const std::string message = reinterpret_cast<const char *(*)(Status)>(table_[get_error_message])(status);
        release(release_status, status);
        throw std::runtime_error(message);
    }
    void release(Function function, void *object) const {
        if (object != nullptr) reinterpret_cast<void (*)(void *)>(table_[function])(object);
    }

    void *env = nullptr;
    void *memory = nullptr;

  private:
    Library() {
        const char *named = std::getenv("HETSIM_ONNXRUNTIME");
        const std::string path = named != nullptr ? named : HETSIM_ONNXRUNTIME_LIBRARY;
        void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle == nullptr)
            throw Error(HETSIM_NO_DEVICE, "cannot load ONNX Runtime from " + path +
                                              "; name its library with HETSIM_ONNXRUNTIME in the environment");
        const auto base = reinterpret_cast<const ApiBase *(*)()>(dlsym(handle, "OrtGetApiBase"));
        const void *api = base == nullptr ? nullptr : base()->get_api(kApiVersion);
        if (api == nullptr) throw Error(HETSIM_NO_DEVICE, path + " is no ONNX Runtime with its C interface");
        table_ = reinterpret_cast<void *const *>(api);
        call(create_env, kNoLog, static_cast<const char *>("hetsim"), &env);
        call(create_cpu_memory_info, 0, 0, &memory);
    }

    void *const *table_ = nullptr;
};

int element_type(const std::string &dtype) {
    static const std::map<std::string, int> known = {
        {"float32", 1}, {"uint8", 2},   {"int8", 3},     {"uint16", 4},   {"int16", 5},   {"int32", 6},
        {"int64", 7},   {"bool", 9},    {"float16", 10}, {"float64", 11}, {"uint32", 12}, {"uint64", 13}};
    const auto found = known.find(dtype);
    if (found == known.end()) throw std::runtime_error("no tensors of type " + dtype);
    return found->second;
}

// A compiled segment with its tensors as values; outputs are written where they lie.
class Session {
  public:
    Session(const Device &device, const Segment &segment) : library_(Library::get()) {
        void *options = nullptr;
        library_.call(create_session_options, &options);
        try {
            library_.call(set_log_severity, options, kNoLog);
            library_.call(set_intra_op_threads, options, device.threads);
            library_.call(set_inter_op_threads, options, 1);
            library_.call(create_session, library_.env, segment.path.c_str(), options, &session_);
        } catch (...) {
            library_.release(release_session_options, options);
            throw;
        }
        library_.release(release_session_options, options);
        bind(segment.reads, names_[0], values_[0]);
        bind(segment.writes, names_[1], values_[1]);
    }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;
    ~Session() {
        for (const auto &values : values_)
            for (void *value : values) library_.release(release_value, value);
        library_.release(release_session, session_);
    }

    void run() {
        library_.call(run_session, session_, static_cast<const void *>(nullptr), names_[0].data(), values_[0].data(),
                      names_[0].size(), names_[1].data(), names_[1].size(), values_[1].data());
    }

  private:
    void bind(const std::vector<const Tensor *> &tensors, std::vector<const char *> &names, std::vector<void *> &values) {
        for (const Tensor *tensor : tensors) {
            void *value = nullptr;
            library_.call(create_tensor_with_data, library_.memory, static_cast<void *>(tensor->data),
                          tensor->num_bytes, tensor->shape.data(), tensor->shape.size(), element_type(tensor->dtype),
                          &value);
            names.push_back(tensor->name.c_str());
            values.push_back(value);
        }
    }

    Library &library_;
    void *session_ = nullptr;
    std::vector<const char *> names_[2];
    std::vector<void *> values_[2];
};

class OnnxRuntime : public Engine {
  public:
    explicit OnnxRuntime(const Device &device) : device_(device) {
        if (device.target != "CPUExecutionProvider")
            throw Error(HETSIM_NO_DEVICE, "the C++ runner has no " + device.target + " of ONNX Runtime's; use run.py");
    }

    std::function<void()> compile(const Segment &segment) override {
        const auto session = std::make_shared<Session>(device_, segment);
        return [session] { session->run(); };
    }

  private:
    Device device_;
};

}  // namespace

std::unique_ptr<Engine> make_onnxruntime(const Device &device) { return std::make_unique<OnnxRuntime>(device); }

}  // namespace bundle
