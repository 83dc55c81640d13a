"""The arithmetic of :mod:`hetsim.sim.compiled`: the rules of :mod:`hetsim.sim.simulate` on arrays, compiled by numba.

Every sum, product and quotient is the one that the reference takes, in the same order. LLVM may not reorder or fuse
them, as nothing here is compiled with ``fastmath``. Importing this package imports numba.
"""

from hetsim.sim.kernel.arrays import Flags, Floats, Ints, Requests, Space, Tables, new_space
from hetsim.sim.kernel.many import evaluate
from hetsim.sim.kernel.one import run

__all__ = ["Flags", "Floats", "Ints", "Requests", "Space", "Tables", "evaluate", "new_space", "run"]
