"""The parts of `make bench-observe`: each measures a promise of `plait record`."""
