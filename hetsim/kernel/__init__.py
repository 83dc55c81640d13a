"""The arithmetic of :mod:`hetsim.compiled`: the rules of :mod:`hetsim.simulate` on arrays, compiled by numba.

Every sum, product and quotient is the one that the reference takes, in the same order. LLVM may not reorder or fuse
them, as nothing here is compiled with ``fastmath``. Importing this package imports numba.
"""

from hetsim.kernel.arrays import Flags, Floats, Ints, Requests, Space, Tables, new_space
from hetsim.kernel.many import evaluate
from hetsim.kernel.one import run

__all__ = ["Flags", "Floats", "Ints", "Requests", "Space", "Tables", "evaluate", "new_space", "run"]
