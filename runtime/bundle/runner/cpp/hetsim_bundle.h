/* Runs a bundle that `hetsim export` made: a plan over several devices, without hetsim.
 *
 * Each device has a thread, pinned to its cores, that runs the device's segments in order. Functions return
 * HETSIM_OK or an error code; hetsim_bundle_message says in one line what was wrong. A bundle is for one thread at a
 * time. */
#ifndef HETSIM_BUNDLE_H
#define HETSIM_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum hetsim_status {
    HETSIM_OK = 0,
    HETSIM_BAD_ARGUMENT = 1, /* a null pointer, or a number beyond the last */
    HETSIM_BAD_BUNDLE = 2,   /* no bundle, one of a newer version, or files that differ from their hashes */
    HETSIM_NO_DEVICE = 3,    /* an engine or a core that is not here */
    HETSIM_REFUSED = 4,      /* an engine does not take a segment */
    HETSIM_FAILED = 5        /* a segment failed; the bundle cannot run any more */
};

typedef struct hetsim_bundle hetsim_bundle;

/* An input or output of the model. `data` is valid as long as the bundle: write inputs before a run; read outputs
 * after it and before the next one. `dtype` is NumPy's name, such as "float32". */
typedef struct hetsim_tensor {
    const char *name;
    const char *dtype;
    const int64_t *shape;
    size_t rank;
    size_t num_bytes;
    void *data;
} hetsim_tensor;

/* A segment's last run, in seconds since the request was submitted. `hand_over_s` is the time from the end of the last
 * segment of another device that it waited for to its start; negative if it did not wait. */
typedef struct hetsim_segment {
    const char *device;
    const char *first_operator;
    double start_s;
    double end_s;
    double hand_over_s;
} hetsim_segment;

/* Opens a bundle: checks its files, starts its threads and compiles its segments. `*bundle` is set in any case but
 * HETSIM_BAD_ARGUMENT, so that the message can be read; close it. */
int hetsim_bundle_open(const char *folder, hetsim_bundle **bundle);
void hetsim_bundle_close(hetsim_bundle *bundle);
const char *hetsim_bundle_message(const hetsim_bundle *bundle);

size_t hetsim_bundle_num_inputs(const hetsim_bundle *bundle);
size_t hetsim_bundle_num_outputs(const hetsim_bundle *bundle);
size_t hetsim_bundle_num_segments(const hetsim_bundle *bundle);
int hetsim_bundle_input(hetsim_bundle *bundle, size_t number, hetsim_tensor *tensor);
int hetsim_bundle_output(hetsim_bundle *bundle, size_t number, hetsim_tensor *tensor);
int hetsim_bundle_segment(hetsim_bundle *bundle, size_t number, hetsim_segment *segment);

/* One inference; blocks until it has ended. */
int hetsim_bundle_run(hetsim_bundle *bundle);
/* Of the last run: from the call, copying its inputs included, to the end of the last segment, in seconds. */
double hetsim_bundle_latency_s(const hetsim_bundle *bundle);

/* The example that the bundle carries: fills the inputs; and after a run, the largest error of an output relative to
 * the output's largest magnitude, with the largest error that is still right. */
int hetsim_bundle_load_example(hetsim_bundle *bundle);
int hetsim_bundle_check_example(hetsim_bundle *bundle, double *error, double *tolerance);

#ifdef __cplusplus
}
#endif
#endif
