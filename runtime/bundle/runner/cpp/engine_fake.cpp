// The make-believe engine of tests: element k of each output is half the sum of the inputs' means + k % 7.
#include <numeric>

#include "engine.hpp"

namespace bundle {
namespace {

double mean(const Tensor &tensor) {
    const float *items = reinterpret_cast<const float *>(tensor.data);
    return std::accumulate(items, items + tensor.num_items, 0.0) / static_cast<double>(tensor.num_items);
}

class Fake : public Engine {
  public:
    explicit Fake(const Device &device) {
        const auto found = device.options.find("fail");
        if (found != device.options.end()) fail_ = found->second;
    }

    std::function<void()> compile(const Segment &segment) override {
        for (const auto *tensors : {&segment.reads, &segment.writes})
            for (const Tensor *tensor : *tensors)
                if (tensor->dtype != "float32") throw std::runtime_error("the make-believe engine takes float32 alone");
        bool fails = false;
        for (const std::string &op : segment.ops) fails = fails || op == fail_;
        return [segment, fails] {
            if (fails) throw std::runtime_error("told to fail");
            double half = 0;
            for (const Tensor *tensor : segment.reads) half += 0.5 * mean(*tensor);
            for (const Tensor *tensor : segment.writes)
                for (size_t k = 0; k < tensor->num_items; ++k)
                    reinterpret_cast<float *>(tensor->data)[k] = static_cast<float>(half + static_cast<double>(k % 7));
        };
    }

  private:
    std::string fail_;
};

}  // namespace

std::unique_ptr<Engine> make_fake(const Device &device) { return std::make_unique<Fake>(device); }

}  // namespace bundle
