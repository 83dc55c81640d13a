// `stress BUNDLE N`: N inferences of a bundle with sixteen inputs in random order; each must give what it gave at first.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "hetsim_bundle.h"

int main(int, char **arguments) {
    hetsim_bundle *bundle = nullptr;
    if (hetsim_bundle_open(arguments[1], &bundle) != HETSIM_OK) {
        std::fprintf(stderr, "%s\n", hetsim_bundle_message(bundle));
        return 2;
    }
    hetsim_tensor input, output;
    hetsim_bundle_input(bundle, 0, &input);
    hetsim_bundle_output(bundle, 0, &output);
    std::mt19937 random(1);
    std::vector<std::vector<float>> inputs(16, std::vector<float>(input.num_bytes / sizeof(float)));
    std::vector<std::string> expected;
    for (auto &values : inputs)
        for (float &value : values) value = static_cast<float>(random() % 1000);
    const long count = std::atol(arguments[2]);
    for (long run = 0; run < count; ++run) {
        const size_t which = run < 16 ? static_cast<size_t>(run) : random() % 16;
        std::memcpy(input.data, inputs[which].data(), input.num_bytes);
        if (hetsim_bundle_run(bundle) != HETSIM_OK) return 2;
        const std::string got(static_cast<const char *>(output.data), output.num_bytes);
        if (run < 16) expected.push_back(got);
        if (got != expected[which]) {
            std::fprintf(stderr, "inference %ld gave another answer\n", run);
            return 1;
        }
    }
    hetsim_bundle_close(bundle);
    std::printf("%ld inferences\n", count);
    return 0;
}
