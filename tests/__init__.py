"""Tests. Importing the package limits numerical libraries to one thread, here and in children.

Libraries read these variables when they are imported, which this package precedes. Test workers
with a thread per core each wait for one another most of their time.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
