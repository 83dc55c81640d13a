"""The kernels of :mod:`hetsim.sim.compiled`: the rules of :mod:`hetsim.sim.processes` on arrays, compiled by numba.

The kernels compute every sum, product and quotient of the reference in the same order. LLVM does not reorder or fuse
them, because nothing is compiled with ``fastmath``. Importing this package imports numba.
"""

from hetsim.sim.kernel.arrays import Flags, Floats, Ints, Requests, Space, Tables, new_space
from hetsim.sim.kernel.many import evaluate
from hetsim.sim.kernel.one import run

__all__ = ["Flags", "Floats", "Ints", "Requests", "Space", "Tables", "evaluate", "new_space", "run"]
