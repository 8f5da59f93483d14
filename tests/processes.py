"""What tests ask of processes that they start."""

PEAK_KIB = (
    "int(next(line for line in open('/proc/self/status') if line.startswith('VmHWM:')).split()[1])"
)
"""An expression for the process's own peak of resident memory in KiB (Linux).

Not `resource.getrusage`: what that gives starts at the peak of the process that forked it.
"""
