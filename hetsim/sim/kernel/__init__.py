"""The kernels of :mod:`hetsim.sim.compiled`: the rules of :mod:`hetsim.sim.processes` on arrays, compiled by numba.

The kernels compute every sum, product and quotient of the reference in the same order. LLVM does not reorder or fuse
them, because nothing is compiled with ``fastmath``. All modules except :mod:`~hetsim.sim.kernel.arrays` import
numba.
"""
