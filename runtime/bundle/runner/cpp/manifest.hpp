// A bundle's manifest, checked, with its tensors laid out in one arena.
#pragma once

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include "engine.hpp"
#include "hetsim_bundle.h"
#include "json.hpp"
#include "sha256.hpp"

namespace bundle {

struct Step {
    size_t device = 0;
    Segment segment;
    std::vector<size_t> waits_for;  // steps of other devices
};

class Manifest {
  public:
    explicit Manifest(const std::string &folder) : folder_(folder) {
        const std::string path = folder + "/manifest.json";
        const std::string text = read(path);
        Json found;
        try {
            found = Json::parse(text);
        } catch (const std::runtime_error &error) {
            throw Error(HETSIM_BAD_BUNDLE, path + " is malformed: " + error.what());
        }
        try {
            take(found, path);
        } catch (const Error &) {
            throw;
        } catch (const std::runtime_error &error) {
            throw Error(HETSIM_BAD_BUNDLE, path + " is malformed: " + error.what());
        }
    }

    std::vector<Device> devices;
    std::map<std::string, Tensor> tensors;
    std::vector<std::string> inputs, outputs;
    std::vector<Step> steps;
    std::map<std::string, std::string> example_inputs, example_outputs;
    double tolerance = 0;

    // The bytes of a file of the bundle.
    std::string read_file(const std::string &path) const { return read(folder_ + "/" + path); }

  private:
    static std::string read(const std::string &path) {
        std::ifstream file(path, std::ios::binary);
        if (!file) throw Error(HETSIM_BAD_BUNDLE, "cannot read " + path);
        std::ostringstream text;
        text << file.rdbuf();
        return text.str();
    }

    void take(const Json &found, const std::string &path) {
        if (!found.has("format") || found["format"].text() != "hetsim-bundle")
            throw Error(HETSIM_BAD_BUNDLE, path + " is no manifest of a hetsim bundle");
        const int64_t version = found["version"].whole();
        if (version != 1)
            throw Error(HETSIM_BAD_BUNDLE, "the bundle has version " + std::to_string(version) +
                                               ", this runner takes version 1; use the runner that came with the bundle");
        for (const auto &file : found["files"].members()) check(file.first, file.second.text());
        for (const Json &device : found["devices"].items()) devices.push_back(device_of(device));
        const size_t arena_bytes = static_cast<size_t>(found["arena_bytes"].whole());
        arena_.reset(static_cast<char *>(std::aligned_alloc(4096, (arena_bytes / 4096 + 1) * 4096)));
        if (arena_ == nullptr) throw Error(HETSIM_BAD_BUNDLE, "there is not enough memory for the tensors");
        for (const Json &entry : found["tensors"].items()) {
            Tensor tensor = tensor_of(entry, arena_bytes);
            tensors[tensor.name] = tensor;
        }
        for (const Json &name : found["inputs"].items()) inputs.push_back(known(name.text()).name);
        for (const Json &name : found["outputs"].items()) outputs.push_back(known(name.text()).name);
        for (const Json &step : found["steps"].items()) steps.push_back(step_of(step));
        const Json &example = found["example"];
        for (const auto &file : example["inputs"].members()) example_inputs[file.first] = file.second.text();
        for (const auto &file : example["outputs"].members()) example_outputs[file.first] = file.second.text();
        tolerance = example["tolerance"].number();
    }

    void check(const std::string &path, const std::string &expected) const {
        std::string digest;
        try {
            digest = Sha256::of_file(folder_ + "/" + path);
        } catch (const std::runtime_error &error) {
            throw Error(HETSIM_BAD_BUNDLE, std::string(error.what()) + "; export the bundle anew");
        }
        if (digest != expected)
            throw Error(HETSIM_BAD_BUNDLE,
                        folder_ + "/" + path + " differs from its hash in the manifest; export the bundle anew");
    }

    static Device device_of(const Json &entry) {
        Device device;
        device.name = entry["name"].text();
        device.engine = entry["engine"].text();
        device.target = entry["target"].text();
        device.precision = entry["precision"].text();
        device.threads = static_cast<int>(entry["threads"].whole());
        for (const Json &core : entry["cores"].items()) device.cores.push_back(static_cast<int>(core.whole()));
        for (const auto &option : entry["options"].members()) device.options[option.first] = option.second.text();
        return device;
    }

    Tensor tensor_of(const Json &entry, size_t arena_bytes) const {
        Tensor tensor;
        tensor.name = entry["name"].text();
        tensor.dtype = entry["dtype"].text();
        for (const Json &size : entry["shape"].items()) {
            tensor.shape.push_back(size.whole());
            tensor.num_items *= static_cast<size_t>(size.whole());
        }
        tensor.num_bytes = static_cast<size_t>(entry["num_bytes"].whole());
        const size_t offset = static_cast<size_t>(entry["offset"].whole());
        if (offset > arena_bytes || tensor.num_bytes > arena_bytes - offset)
            throw Error(HETSIM_BAD_BUNDLE, "tensor '" + tensor.name + "' lies beyond the end of the arena");
        tensor.data = arena_.get() + offset;
        if (entry.has("stored_as")) tensor.stored_as = entry["stored_as"].text();
        tensor.is_image = entry.has("is_image") && entry["is_image"].boolean();
        return tensor;
    }

    const Tensor &known(const std::string &name) const {
        const auto found = tensors.find(name);
        if (found == tensors.end()) throw Error(HETSIM_BAD_BUNDLE, "the manifest lacks tensor '" + name + "'");
        return found->second;
    }

    Step step_of(const Json &entry) const {
        Step step;
        while (step.device < devices.size() && devices[step.device].name != entry["device"].text()) ++step.device;
        if (step.device == devices.size())
            throw Error(HETSIM_BAD_BUNDLE, "the manifest lacks device '" + entry["device"].text() + "'");
        step.segment.path = folder_ + "/" + entry["file"].text();
        for (const Json &op : entry["ops"].items()) step.segment.ops.push_back(op.text());
        for (const Json &name : entry["reads"].items()) step.segment.reads.push_back(&known(name.text()));
        for (const Json &name : entry["writes"].items()) step.segment.writes.push_back(&known(name.text()));
        for (const Json &other : entry["waits_for"].items()) {
            if (other.whole() < 0 || static_cast<size_t>(other.whole()) >= steps.size())
                throw Error(HETSIM_BAD_BUNDLE, "a step waits for one that does not come before it");
            step.waits_for.push_back(static_cast<size_t>(other.whole()));
        }
        return step;
    }

    struct Free {
        void operator()(char *memory) const { std::free(memory); }
    };
    std::string folder_;
    std::unique_ptr<char, Free> arena_;
};

}  // namespace bundle
