"""Where the bundled program starts."""

import multiprocessing
import os
import sys

# A process that `multiprocessing` starts is this program again.
multiprocessing.freeze_support()

# The bundle computes on the CPU; a model that looks for a GPU shall find none.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

from qgui.__main__ import main  # noqa: E402

sys.exit(main())
