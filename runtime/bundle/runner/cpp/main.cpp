// Runs a bundle, as run.py does: `run_bundle FOLDER [--runs N] [--warm-ups N] [--input NAME=FILE] [--output NAME=FILE]
// [--json]`. Files are raw values. An error is one line and exit code 2.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "hetsim_bundle.h"

namespace {

struct Options {
    std::string folder = ".";
    long runs = 20, warm_ups = 5;
    bool json = false;
    std::vector<std::pair<std::string, std::string>> inputs, outputs;
};

[[noreturn]] void stop(const std::string &message) {
    std::cerr << "run_bundle: " << message << "\n";
    std::exit(2);
}

std::pair<std::string, std::string> name_and_file(const std::string &text) {
    const size_t at = text.rfind('=');
    if (at == std::string::npos) stop("'" + text + "' is not of the form NAME=FILE");
    return {text.substr(0, at), text.substr(at + 1)};
}

Options parse(int count, char **arguments) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string word = arguments[i];
        const auto next = [&] {
            if (++i == count) stop(word + " lacks its value");
            return std::string(arguments[i]);
        };
        const auto number = [&](long least) {
            const std::string text = next();
            char *end = nullptr;
            const long found = std::strtol(text.c_str(), &end, 10);
            if (text.empty() || *end != '\0' || found < least)
                stop(word + " takes a number of at least " + std::to_string(least) + ", not '" + text + "'");
            return found;
        };
        if (word == "--runs") {
            options.runs = number(1);
        } else if (word == "--warm-ups") {
            options.warm_ups = number(0);
        } else if (word == "--input") {
            options.inputs.push_back(name_and_file(next()));
        } else if (word == "--output") {
            options.outputs.push_back(name_and_file(next()));
        } else if (word == "--json") {
            options.json = true;
        } else if (word.rfind("--", 0) == 0) {
            stop("unknown option " + word + "; there are --runs, --warm-ups, --input, --output and --json");
        } else {
            options.folder = word;
        }
    }
    return options;
}

// The tensor of this name among `count` inputs or outputs.
hetsim_tensor find(hetsim_bundle *bundle, int (*get)(hetsim_bundle *, size_t, hetsim_tensor *), size_t count,
                   const std::string &name) {
    std::string names;
    for (size_t i = 0; i < count; ++i) {
        hetsim_tensor tensor;
        get(bundle, i, &tensor);
        if (name == tensor.name) return tensor;
        names += (i > 0 ? ", " : "") + std::string(tensor.name);
    }
    stop("there is no '" + name + "'; there are " + names);
}

void read_into(const hetsim_tensor &tensor, const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf())) stop("cannot read " + path);
    const std::string data = text.str();
    if (data.size() != tensor.num_bytes)
        stop(path + " has " + std::to_string(data.size()) + " bytes, but input '" + tensor.name + "' takes " +
             std::to_string(tensor.num_bytes) + " of " + tensor.dtype);
    std::memcpy(tensor.data, data.data(), data.size());
}

double median(std::vector<double> samples) {
    std::sort(samples.begin(), samples.end());
    const size_t half = samples.size() / 2;
    return samples.size() % 2 == 1 ? samples[half] : (samples[half - 1] + samples[half]) / 2;
}

}  // namespace

int main(int count, char **arguments) {
    const Options options = parse(count, arguments);
    hetsim_bundle *bundle = nullptr;
    const auto need = [&](int status) {
        if (status == HETSIM_OK) return;
        const std::string message = hetsim_bundle_message(bundle);
        hetsim_bundle_close(bundle);
        stop(message);
    };
    need(hetsim_bundle_open(options.folder.c_str(), &bundle));
    const bool is_example = options.inputs.empty();
    if (is_example) {
        need(hetsim_bundle_load_example(bundle));
    } else if (options.inputs.size() != hetsim_bundle_num_inputs(bundle)) {
        stop("the model has " + std::to_string(hetsim_bundle_num_inputs(bundle)) + " inputs; give each with --input");
    }
    for (const auto &input : options.inputs)
        read_into(find(bundle, hetsim_bundle_input, hetsim_bundle_num_inputs(bundle), input.first), input.second);
    std::vector<double> latencies_s, hand_overs_s;
    for (long run = 0; run < options.warm_ups + options.runs; ++run) {
        need(hetsim_bundle_run(bundle));
        if (run < options.warm_ups) continue;
        latencies_s.push_back(hetsim_bundle_latency_s(bundle));
        for (size_t i = 0; i < hetsim_bundle_num_segments(bundle); ++i) {
            hetsim_segment segment;
            hetsim_bundle_segment(bundle, i, &segment);
            if (segment.hand_over_s >= 0) hand_overs_s.push_back(segment.hand_over_s);
        }
    }
    double error = 0, tolerance = 0;
    if (is_example) need(hetsim_bundle_check_example(bundle, &error, &tolerance));
    for (const auto &output : options.outputs) {
        const hetsim_tensor tensor =
            find(bundle, hetsim_bundle_output, hetsim_bundle_num_outputs(bundle), output.first);
        std::ofstream file(output.second, std::ios::binary);
        if (!file.write(static_cast<const char *>(tensor.data), static_cast<std::streamsize>(tensor.num_bytes)))
            stop("cannot write " + output.second);
    }
    hetsim_bundle_close(bundle);
    if (options.json) {
        std::printf("{\"latencies_s\": [");
        for (size_t i = 0; i < latencies_s.size(); ++i) std::printf("%s%.9g", i > 0 ? ", " : "", latencies_s[i]);
        std::printf("], \"hand_over_s\": ");
        hand_overs_s.empty() ? std::printf("null") : std::printf("%.9g", median(hand_overs_s));
        if (is_example) std::printf(std::isinf(error) ? ", \"error\": Infinity" : ", \"error\": %.9g", error);
        if (is_example) std::printf(", \"tolerance\": %.9g", tolerance);
        std::printf("}\n");
    } else {
        std::printf("median %.3f ms, %zu inferences\n", 1e3 * median(latencies_s), latencies_s.size());
        if (!hand_overs_s.empty()) std::printf("median hand-over %.2f us\n", 1e6 * median(hand_overs_s));
        if (is_example)
            std::printf("outputs %s the reference engine: largest error %.1e, tolerance %.0e\n",
                        error <= tolerance ? "match" : "DIFFER from", error, tolerance);
    }
    return error <= tolerance ? 0 : 1;
}
