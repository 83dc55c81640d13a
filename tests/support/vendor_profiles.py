"""Small files in the formats of vendors' profilers, of the network that ``tests.support.models.images`` makes."""

from __future__ import annotations

import json
from collections.abc import Mapping

OPTRACE_HEADER = "Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier"
PREPARATION = (
    "0,BACKEND,14000,US,BACKEND,ROOT,RPC (finalize) time",
    "0,FINALIZE,561285,US,BACKEND,ROOT,QNN (finalize) time",
    "0,UNKNOWN,451,US,BACKEND,SUB-EVENT,Graph Preparation Initializing",
)
CYCLES = {
    "Input OpId_2": 100,
    "Transpose_token_9_2:OpId_4": 300,
    "first_token_1_2:OpId_6": 400,
    "second_token_3_2:OpId_8": 600,
    "third_3:OpId_9": 200,
    "pool_token_5_2:OpId_11": 400,
    "Output OpId_3": 0,
}
COLD, WARM = (9000, 7000, 4000, 1200, 1000), (5000, 4500, 2000, 220, 200)
"""Microseconds of a call: the application's, RPC, QNN accelerator, accelerator, without waiting."""


def optrace_call(times_us: tuple[int, ...], cycles: Mapping[str, int], factor: int = 1) -> list[str]:
    """The events of one execution."""
    application, rpc, driver, waiting, busy = times_us
    return [
        "0,BACKEND,4,COUNT,BACKEND,ROOT,Number of HVX threads used",
        f"0,BACKEND,{rpc},US,BACKEND,ROOT,RPC (execute) time",
        f"0,BACKEND,{driver},US,BACKEND,ROOT,QNN accelerator (execute) time",
        "0,BACKEND,150,US,BACKEND,ROOT,Time for initial VTCM acquire",
        "0,BACKEND,20,US,BACKEND,ROOT,Time for HVX + HMX power on and acquire",
        f"0,BACKEND,{factor * sum(cycles.values())},CYCLES,BACKEND,ROOT,Accelerator (execute) time (cycles)",
        *(f"0,NODE,{factor * count},CYCLES,BACKEND,SUB-EVENT,{name} (cycles)" for name, count in cycles.items()),
        f"0,BACKEND,{waiting},US,BACKEND,ROOT,Accelerator (execute) time",
        f"0,BACKEND,{busy},US,BACKEND,ROOT,Accelerator (execute excluding wait) time",
        "0,UNKNOWN,UNKNOWN,OBJECT,BACKEND,ROOT,Unknown event type",
        f"0,EXECUTE,{application},US,BACKEND,ROOT,QNN (execute) time",
    ]


def optrace(cycles: Mapping[str, int] = CYCLES) -> str:
    """A cold call and three warm ones, of which the last takes 30 us longer outside the accelerator.

    The accelerator's 200 us are the 2000 cycles of ``CYCLES``, so that a cycle takes 0.1 us.
    """
    slower = tuple(time_us + 30 for time_us in WARM[:3]) + WARM[3:]
    calls = [optrace_call(COLD, cycles, factor=2), *(optrace_call(times, cycles) for times in (WARM, WARM, slower))]
    return "\n".join([OPTRACE_HEADER, *PREPARATION, *(line for call in calls for line in call)]) + "\n"


def qhas(major: int = 1) -> str:
    """A summary of 100 us in which ``first`` and ``second`` take a quarter and a half."""
    rows = [
        ("first_token_1_2", 25.0, 1000, 24),
        ("second_token_3_2", 50.0, 2000, 0),
        ("Transpose_token_9_2", 25.0, 0, 0),
    ]
    instances = [
        {
            "qnn_op": name,
            "qnn_op_type": "Transpose" if name.startswith("T") else "Conv2d",
            "cycles": 10 * percent,
            "percent_active_cycles": percent,
            "dram_read": read,
            "dram_write": written,
            "vtcm_read": 1,
        }
        for name, percent, read, written in rows
    ]
    return json.dumps(
        {
            "header": {"header_version": {"major": major, "minor": 0, "patch": 0}, "artifact_type": "QHAS"},
            "data": {
                "htp_overall_summary": {"data": [{"time_us": 130, "graph_execute_us": 100}]},
                "qnn_op_instances_nodes": {"data": instances},
            },
        }
    )


def ort_event(name: str, dur: int, cat: str = "Node", **args: str) -> dict[str, object]:
    """An event of ONNX Runtime's profile."""
    return {"cat": cat, "pid": 1, "tid": 1, "dur": dur, "ts": 0, "ph": "X", "name": name, "args": args}


def onnxruntime() -> str:
    """Two runs; the optimiser fused ``first`` and ``relu`` into a kernel that is called after the tensor ``b``."""

    def run(total_us: int, first_us: int) -> list[dict[str, object]]:
        return [
            ort_event("ReorderInput_kernel_time", 5, op_name="ReorderInput", provider="CPUExecutionProvider"),
            ort_event("b_nchwc_kernel_time", first_us, op_name="Conv"),
            ort_event("second_fence_before", 0, op_name="Conv"),
            ort_event("second_kernel_time", 30, op_name="Conv"),
            ort_event("third_kernel_time", 20, op_name="Conv"),
            ort_event("pool_kernel_time", 10, op_name="GlobalAveragePool"),
            ort_event("SequentialExecutor::Execute", total_us - 10, "Session"),
            ort_event("model_run", total_us, "Session"),
        ]

    start = [ort_event("session_initialization", 7000, "Session")]
    return json.dumps([*start, *run(400, 200), *run(145, 50)])


OPENVINO = """layerName;execStatus;layerType;execType;realTime (ms);cpuTime (ms)
x;Status.NOT_RUN;Parameter;unknown_f32;0.000;0.000
x_abcd_acdb_first/WithoutBiases;Status.EXECUTED;Reorder;jit_uni_f32;0.005;0.005
first/WithoutBiases;Status.EXECUTED;Convolution;brgconv_avx2_f32;0.050;0.050
relu;Status.NOT_RUN;Relu;undef;0.000;0.000
second;Status.EXECUTED;Convolution;brgconv_avx2_f32;0.030;0.030
third;Status.EXECUTED;Convolution;brgconv_avx2_f32;0.020;0.020
pool;Status.EXECUTED;Pooling;jit_avx2_f32;0.010;0.010
Total;;;;0.115;0.115

"""
OPENVINO_JSON = json.dumps(
    [
        {"node_name": "first/WithoutBiases", "status": "EXECUTED", "node_type": "Convolution", "real_time_us": 50},
        {"node_name": "relu", "status": "OPTIMIZED_OUT", "node_type": "Relu", "real_time_us": 0},
    ]
)
VELA = """TFLite_operator,NNG Operator,SRAM Usage,Peak%,Op Cycles,Network%,NPU,SRAM AC,MAC Count,Network%,Util%,Name
CONV_2D,Conv2DBias,11936,54.6,5000.0,17.6,5000.0,2000.0,73008,8.6,3.9,b;first
CONV_2D,Conv2DBias,11936,54.6,3000.0,17.6,3000.0,2000.0,73008,8.6,3.9,second
CONV_2D,Conv2DBias,11936,54.6,2000.0,17.6,2000.0,2000.0,73008,8.6,3.9,third
AVERAGE_POOL_2D,AvgPool,10944,50.1,1000.0,7.2,1330.0,2992.0,6912,0.8,0.9,pool
"""
LITERT = """Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
node type, first, avg_ms, %, cdf%, mem KB, times called, name
AllocateTensors, 5.061, 5.061, 44.36%, 100%, 0.0, 1, AllocateTensors/0

Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
node type, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 0.060, 0.050, 45.4%, 45.4%, 0.000, 1, [b;first]:0
CONV_2D, 0.031, 0.030, 27.3%, 72.7%, 0.000, 1, [c]:1
CONV_2D, 0.021, 0.020, 18.2%, 90.9%, 0.000, 1, [d]:2
AVERAGE_POOL_2D, 0.012, 0.010, 9.1%, 100%, 0.000, 1, [y]:3

============================== Top by Computation Time ==============================
node type, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 0.060, 0.050, 45.4%, 45.4%, 0.000, 1, [b;first]:0

"""


def executorch() -> str:
    """A call of 0.2 ms whose delegate runs all operators, under names of its own."""
    header = ("event_block_name", "event_name", "p10 (ms)", "p50 (ms)", "op_types", "is_delegated_op")
    rows = [
        header,
        ("Default", "Method::init", "33", "33.2", "[]", "False"),
        ("Execute", "Convolution (NHWC, F32) #1", "0.04", "0.050", "[]", "True"),
        ("Execute", "Convolution (NHWC, F32) #2", "0.02", "0.030", "[]", "True"),
        ("Execute", "Convolution (NHWC, F32) #3", "0.01", "0.020", "[]", "True"),
        ("Execute", "DELEGATE_CALL", "0.08", "0.110", "['aten.convolution.default']", "False"),
        ("Execute", "native_call_mean.out", "0.01", "0.010", "['aten.mean.dim']", "False"),
        ("Execute", "Method::execute", "0.1", "0.200", "[]", "False"),
    ]
    return "\n".join("\t".join(row) for row in rows) + "\n"
