"""What a step frees, the next one uses again without asking the system."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from ringmoe.training.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
faults = []
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(50_000_000)  # 200 MB: more than glibc ever keeps by itself
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a switch of glibc")
def test_freed_memory_is_used_again():
    """A block of 200 MB is mapped anew (hundreds of page faults) unless memory is kept."""

    def faults(how):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert faults("kept") < 10 < faults("given back")
