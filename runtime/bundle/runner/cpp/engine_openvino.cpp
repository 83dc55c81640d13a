// OpenVINO by its C++ interface.
#include "engine.hpp"
#include "hetsim_bundle.h"

#ifdef HETSIM_OPENVINO
#include <openvino/core/preprocess/pre_post_process.hpp>
#include <openvino/openvino.hpp>

namespace bundle {
namespace {

template <typename Port>
const Tensor *tensor_of(const Port &port, const std::vector<const Tensor *> &tensors) {
    for (const Tensor *tensor : tensors)
        if (port.get_names().count(tensor->name) > 0 || port.get_node()->get_friendly_name() == tensor->name)
            return tensor;
    return nullptr;
}

template <typename Step>
bool in_own_format(Step &step, const Tensor *tensor) {
    if (tensor == nullptr || tensor->stored_as.empty()) return false;
    if (tensor->stored_as != "bf16") throw std::runtime_error("no tensors are stored as " + tensor->stored_as);
    step.tensor().set_element_type(ov::element::bf16);
    if (tensor->is_image) {
        step.tensor().set_layout("NHWC");
        step.model().set_layout("NCHW");
    }
    return true;
}

class OpenVino : public Engine {
  public:
    explicit OpenVino(const Device &device) : device_(device) {
        bool is_here = false;
        for (const std::string &name : core_.get_available_devices())
            is_here = is_here || name == device.target || name.rfind(device.target + ".", 0) == 0;
        if (!is_here) throw Error(HETSIM_NO_DEVICE, "OpenVINO has no " + device.target + " here");
        static const std::map<std::string, ov::element::Type> known = {
            {"f32", ov::element::f32}, {"bf16", ov::element::bf16}, {"f16", ov::element::f16}};
        const auto found = known.find(device.precision);
        if (found == known.end()) throw Error(HETSIM_NO_DEVICE, "OpenVINO does not compute in " + device.precision);
        settings_[ov::hint::inference_precision.name()] = found->second;
        if (device.target == "CPU") {
            settings_[ov::inference_num_threads.name()] = device.threads;
            settings_[ov::num_streams.name()] = ov::streams::Num(1);
            settings_[ov::hint::enable_cpu_pinning.name()] = false;  // the thread itself is pinned
        }
        for (const auto &option : device.options) settings_[option.first] = option.second;
    }

    std::function<void()> compile(const Segment &segment) override {
        std::shared_ptr<ov::Model> model = core_.read_model(segment.path);
        ov::preprocess::PrePostProcessor steps(model);
        bool changed = false;
        for (size_t i = 0; i < model->inputs().size(); ++i)
            changed = in_own_format(steps.input(i), tensor_of(model->input(i), segment.reads)) || changed;
        for (size_t i = 0; i < model->outputs().size(); ++i)
            changed = in_own_format(steps.output(i), segment.writes.at(i)) || changed;
        if (changed) model = steps.build();
        ov::CompiledModel compiled = core_.compile_model(model, device_.target, settings_);
        ov::InferRequest request = compiled.create_infer_request();
        for (const auto &port : compiled.inputs()) {  // by name: the engine may have removed an input without effect
            const Tensor *tensor = tensor_of(port, segment.reads);
            if (tensor == nullptr) throw std::runtime_error("an input has lost its name");
            request.set_tensor(port, ov::Tensor(port.get_element_type(), port.get_shape(), tensor->data));
        }
        for (size_t i = 0; i < compiled.outputs().size(); ++i) {
            const auto port = compiled.output(i);
            request.set_tensor(port, ov::Tensor(port.get_element_type(), port.get_shape(), segment.writes.at(i)->data));
        }
        return [request]() mutable { request.infer(); };
    }

  private:
    Device device_;
    ov::Core core_;
    ov::AnyMap settings_;
};

}  // namespace

std::unique_ptr<Engine> make_openvino(const Device &device) { return std::make_unique<OpenVino>(device); }

}  // namespace bundle

#else

namespace bundle {

std::unique_ptr<Engine> make_openvino(const Device &) {
    throw Error(HETSIM_NO_DEVICE, "the runner was built without OpenVINO; build it with -DOpenVINO_DIR=...");
}

}  // namespace bundle

#endif
