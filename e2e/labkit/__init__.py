"""The lab behind `e2e/lab`: a real control plane and real kernels on one machine. Start reading at api.py."""
