// What the runner asks of an engine, and what a segment is bound to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace bundle {

struct Error : std::runtime_error {
    Error(int status_, const std::string &message) : std::runtime_error(message), status(status_) {}
    int status;
};

// A tensor's form, and its place in the arena.
struct Tensor {
    std::string name;
    std::string dtype;
    std::vector<int64_t> shape;
    size_t num_bytes = 0;
    size_t num_items = 1;
    std::string stored_as;  // the type in which its device stores it, if that is another one
    bool is_image = false;
    char *data = nullptr;
};

struct Device {
    std::string name;
    std::string engine;
    std::string target;
    std::string precision;
    int threads = 1;
    std::vector<int> cores;
    std::map<std::string, std::string> options;
};

struct Segment {
    std::string path;
    std::vector<std::string> ops;
    std::vector<const Tensor *> reads;
    std::vector<const Tensor *> writes;
};

// Compiles segments; made and used in the device's own thread.
class Engine {
  public:
    virtual ~Engine() = default;
    // A function that runs the segment once in the caller's thread. Tensors stay where they are.
    virtual std::function<void()> compile(const Segment &segment) = 0;
};

std::unique_ptr<Engine> make_fake(const Device &device);
std::unique_ptr<Engine> make_onnxruntime(const Device &device);
std::unique_ptr<Engine> make_openvino(const Device &device);

}  // namespace bundle
