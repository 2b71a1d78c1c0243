"""Benchmarks: `python -m bench [NAME ...]`, each in one run with its yardsticks, so that ratios hold on any machine."""
